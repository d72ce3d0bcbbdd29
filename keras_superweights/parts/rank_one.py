"""The transform of BatchEnsemble: multiplies a kernel by two vectors."""

from dataclasses import dataclass

import keras
from keras import ops

from keras_superweights.allocation.part import Transform
from keras_superweights.arguments import check_choice

STARTS = ("signs", "ones")


@dataclass(frozen=True)
class RankOne(Transform):
    """Multiplies each kernel by its own `outer(r, s)` (BatchEnsemble).

    `r` has one scalar per input and `s` one per output, the same at all places
    of the window: `K[..., i, o] * r[i] * s[o]`. So kernels that share all else
    differ in a few scalars. If they start from ones, they are equal, and get
    equal gradients on equal batches.

    Args:
        start: Initial vectors: `"signs"` for random signs, or `"ones"`.
        kernels: See `Transform`.

    Raises:
        ValueError: If `start` is none of these.

    Example:

    ```python
    rule = ksw.sharing.MixtureEnsembles(transforms=ksw.parts.RankOne())
    network = ksw.SuperWeightNetwork(members, 0.4, rule)
    ```

    References:
        - Wen et al., BatchEnsemble: An Alternative Approach to Efficient
          Ensemble and Lifelong Learning, ICLR 2020, section 3.1
    """

    noun = "rank-one factors"

    start: str = "signs"

    def __post_init__(self):
        super().__post_init__()
        check_choice("start", self.start, STARTS)

    def num_scalars(self, kernel):
        return sum(kernel.box)

    def num_kept(self, kernel):
        return kernel.size

    def layer(self, kernel, **kwargs):
        return RankOneLayer(kernel.box, self.start, **kwargs)


class RankOneLayer(keras.layers.Layer):
    """Multiplies a kernel with a box of inputs and outputs by two vectors."""

    def __init__(self, box, start, **kwargs):
        super().__init__(**kwargs)
        self.inputs, self.outputs = (
            self.add_weight(
                name=name,
                shape=(size,),
                initializer=_signs if start == "signs" else "ones",
                autocast=False,
            )
            for name, size in zip(("inputs", "outputs"), box, strict=True)
        )
        self.built = True

    def transform(self, kernel):
        """Returns the kernel `(..., inputs, outputs)` times the vectors."""
        return kernel * (ops.expand_dims(self.inputs, 1) * self.outputs)

    def linear_variables(self):
        return [[self.inputs], [self.outputs]]


def _signs(shape, dtype=None):
    return ops.sign(keras.random.uniform(shape, -1, 1, dtype=dtype))
