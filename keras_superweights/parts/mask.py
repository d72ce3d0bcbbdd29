"""Transforms that repeat a smaller template to fill a kernel."""

import math
from dataclasses import dataclass

import keras
from keras import ops

from keras_superweights.allocation.part import Transform
from keras_superweights.arguments import check_integer

# NPAS, section 3.3: scalars in a mask, those of a 3x3 window.
MASK_WINDOW = 9


@dataclass(frozen=True)
class Repeat(Transform):
    """Repeats a template as it is (NPAS, section 3.3).

    Args:
        length: Scalars in the template, fewer than in each of the kernels.
        kernels: See `Transform`.
    """

    length: int

    def __post_init__(self):
        super().__post_init__()
        check_integer("length", self.length)

    def check(self, kernels):
        for kernel in kernels:
            if self.length >= kernel.size:
                raise ValueError(
                    "only a kernel that is larger than its template can be a "
                    f"repetition of it. Received: length={self.length} for "
                    f"'{kernel.layer}' with shape {kernel.shape}."
                )

    def input_size(self, kernel):
        return self.length

    def label(self, kernel):
        return "upsampled"

    def layer(self, kernel, **kwargs):
        return RepeatLayer(self.length, kernel.shape, **kwargs)


@dataclass(frozen=True)
class Mask(Repeat):
    """Repeats a template, each copy but the first times its own mask.

    A mask has `MASK_WINDOW` scalars, repeated along the scalars of its copy
    (NPAS, section 3.3).

    Args:
        length, kernels: See `Repeat`.
    """

    noun = "masks"

    def num_scalars(self, kernel):
        return (-(-kernel.size // self.length) - 1) * MASK_WINDOW

    def num_kept(self, kernel):
        return kernel.size

    def layer(self, kernel, **kwargs):
        return MaskLayer(self.length, kernel.shape, **kwargs)


class RepeatLayer(keras.layers.Layer):
    """Repeats a template of some length to fill a kernel of a shape."""

    def __init__(self, length, shape, **kwargs):
        super().__init__(**kwargs)
        self._length = length
        self._shape = shape
        self._copies = -(-math.prod(shape) // length)
        self.built = True

    def transform(self, template):
        """Returns the kernel of a template `(length,)`."""
        return self._cut(ops.tile(template, (self._copies,)))

    def _cut(self, vector):
        return ops.reshape(vector[: math.prod(self._shape)], self._shape)


class MaskLayer(RepeatLayer):
    """Repeats a template, each copy but the first times its own mask.

    Initial masks are normal with a mean square of 1, so that a kernel has the
    variance of its template and its copies differ.
    """

    def __init__(self, length, shape, **kwargs):
        super().__init__(length, shape, **kwargs)
        self.masks = self.add_weight(
            name="masks",
            shape=(self._copies - 1, MASK_WINDOW),
            initializer=_masks_of_mean_square_one,
            autocast=False,
        )

    def transform(self, template):
        windows = -(-self._length // MASK_WINDOW)
        masks = ops.tile(self.masks, (1, windows))[:, : self._length]
        copies = ops.reshape(masks * template, (-1,))
        return self._cut(ops.concatenate([template, copies]))

    def linear_variables(self):
        return [[self.masks]]


def _masks_of_mean_square_one(shape, dtype=None):
    masks = keras.random.normal(shape, dtype=dtype)
    return masks / ops.sqrt(ops.mean(masks**2, axis=1, keepdims=True))
