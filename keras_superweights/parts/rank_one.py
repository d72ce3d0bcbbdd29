"""The transform of BatchEnsemble: multiplies a kernel by two vectors."""

import math
from dataclasses import dataclass

import keras
from keras import ops

from keras_superweights.allocation.part import Transform
from keras_superweights.arguments import check_number
from keras_superweights.arguments import is_number
from keras_superweights.arguments import quoted

# Starts by name: the probability of +1.
STARTS = {"signs": 0.5, "ones": 1.0}


@dataclass(frozen=True)
class RankOne(Transform):
    """Multiplies each kernel by its own `outer(r, s)` (BatchEnsemble).

    `r` has one scalar per input and `s` one per output, the same at all places
    of the window: `K[..., i, o] * r[i] * s[o]`. So kernels that share all else
    differ in a few scalars. If they start from equal vectors, they are equal,
    get equal gradients on equal batches, and stay equal for ever. The inputs of
    a depthwise kernel are its channels, and its outputs their multiples; those
    of an embedding are words and dimensions.

    Args:
        start: Initial vectors, or a pair of such, for `r` and for `s`. A
            number from 0 to 1 means random signs, +1 with this probability;
            `"signs"` is 0.5 and `"ones"` is 1.0. A negative number `-d` means
            a normal distribution of mean 1 and deviation `d`, as in the
            authors' code, which uses -0.5.
        rate: Factor of every update of the vectors, by any optimizer: the
            fast-weight learning rate, 0.5 in the authors' code.
        kernels: See `Transform`.

    Raises:
        ValueError: If `start` or `rate` is none of these.

    Example:

    ```python
    rule = ksw.sharing.MixtureEnsembles(transforms=ksw.parts.RankOne())
    network = ksw.SuperWeightNetwork(members, 0.4, rule)
    ```

    References:
        - Wen et al., BatchEnsemble: An Alternative Approach to Efficient
          Ensemble and Lifelong Learning, ICLR 2020, section 3.1
        - google/edward2, `RandomSign` and its use in google/
          uncertainty-baselines, `baselines/cifar/batchensemble.py`
    """

    noun = "rank-one factors"

    start: str | float | tuple[str | float, str | float] = "signs"
    rate: float = 1.0

    def __post_init__(self):
        pair = self.start if isinstance(self.start, (tuple, list)) else None
        if pair is not None:
            object.__setattr__(self, "start", tuple(pair))
        if len(self.starts) != 2 or not all(map(_is_start, self.starts)):
            raise ValueError(
                "`start` must be 'signs', 'ones', a probability of +1 from 0 "
                "to 1, minus the deviation of a normal distribution, or a pair "
                "of these, for inputs and outputs. Received: "
                f"start={quoted(self.start)}."
            )
        super().__post_init__()
        check_number("rate", self.rate)

    @property
    def starts(self):
        """The starts of both vectors as numbers, if they are valid."""
        is_pair = isinstance(self.start, tuple)
        pair = self.start if is_pair else (self.start, self.start)
        return tuple(
            STARTS.get(each, each) if isinstance(each, str) else each
            for each in pair
        )

    def num_scalars(self, kernel):
        return sum(kernel.box)

    def num_kept(self, kernel):
        return kernel.size

    def variance_kept(self, kernel):
        return math.prod(1 + min(start, 0) ** 2 for start in self.starts)

    def layer(self, kernel, **kwargs):
        return RankOneLayer(kernel.box, self.starts, **kwargs)


class RankOneLayer(keras.layers.Layer):
    """Multiplies a kernel with a box of inputs and outputs by two vectors.

    Args:
        box: Inputs and outputs.
        starts: For each, the start of its vector as a number; see `RankOne`.
        **kwargs: `name` and `dtype` of a `keras.layers.Layer`.
    """

    def __init__(self, box, starts, **kwargs):
        super().__init__(**kwargs)
        self.inputs, self.outputs = (
            self.add_weight(
                name=name,
                shape=(size,),
                initializer=_initializer(start),
                autocast=False,
            )
            for name, size, start in zip(
                ("inputs", "outputs"), box, starts, strict=True
            )
        )
        self.built = True

    def transform(self, kernel):
        """Returns the kernel `(..., inputs, outputs)` times the vectors."""
        return kernel * (ops.expand_dims(self.inputs, 1) * self.outputs)

    def linear_variables(self):
        return [[self.inputs], [self.outputs]]


def _is_start(value) -> bool:
    return is_number(value) and -math.inf < value <= 1


def _initializer(start):
    if start < 0:
        return keras.initializers.RandomNormal(mean=1.0, stddev=-start)

    def signs(shape, dtype=None):
        draw = keras.random.uniform(shape, dtype=dtype)
        return ops.where(draw >= 1 - start, ops.ones_like(draw), -1)

    return signs
