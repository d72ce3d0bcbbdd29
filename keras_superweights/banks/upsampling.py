"""Makes kernels of a template that is smaller (NPAS, section 3.3)."""

import math

import keras
import numpy as np
from keras import ops

from keras_superweights.allocation.superweight import MASK_WINDOW


def _masks_of_mean_square_one(shape, dtype=None):
    masks = keras.random.normal(shape, dtype=dtype)
    return masks / ops.sqrt(ops.mean(masks**2, axis=1, keepdims=True))


class Mask(keras.layers.Layer):
    """Repeats a template, each copy but the first times a mask of its own.

    A mask has `MASK_WINDOW` scalars and is laid, again and again, over as many
    sequential scalars of its copy. At the start masks are normal, with a mean
    square of 1, so that a kernel varies as its template does and no two copies
    are alike.

    Args:
        length: Scalars in the template.
        shape: Shape of the kernel, which has more.
        name: Name of the layer.
    """

    def __init__(self, length, shape, name=None):
        super().__init__(name=name)
        self._length = length
        self._shape = shape
        self.masks = self.add_weight(
            name="masks",
            shape=(-(-math.prod(shape) // length) - 1, MASK_WINDOW),
            initializer=_masks_of_mean_square_one,
            autocast=False,
        )
        self.built = True

    def upsample(self, template):
        """The kernel of a template `(length,)`."""
        windows = -(-self._length // MASK_WINDOW)
        masks = ops.tile(self.masks, (1, windows))[:, : self._length]
        copies = ops.reshape(masks * template, (-1,))
        vector = ops.concatenate([template, copies])
        return ops.reshape(vector[: math.prod(self._shape)], self._shape)


class Repeat(keras.layers.Layer):
    """Repeats a template as it is.

    Args:
        length: Scalars in the template.
        shape: Shape of the kernel, which has more.
        name: Name of the layer.
    """

    def __init__(self, length, shape, name=None):
        super().__init__(name=name)
        self._copies = -(-math.prod(shape) // length)
        self._shape = shape
        self.built = True

    def upsample(self, template):
        """The kernel of a template `(length,)`."""
        vector = ops.tile(template, (self._copies,))
        return ops.reshape(vector[: math.prod(self._shape)], self._shape)


REPETITIONS = {"mask": Mask, "repeat": Repeat}


def interpolate(templates, shape):
    """Resizes templates to a kernel's shape, bilinearly.

    A kernel is a matrix of what feeds an output times the outputs. Each
    template is laid out as a matrix, nearest to the same proportions, and
    resized to it, pixel centres aligned; scalars that make no full row are
    not used. The kernel may also be the smaller one.

    Args:
        templates: Tensor `(num_templates, length)`.
        shape: Shape of the kernel.

    Returns:
        A tensor `(num_templates, scalars in the kernel)`.
    """
    count, length = templates.shape
    (rows, columns), matrix = _grids(length, shape)
    grids = ops.reshape(
        templates[:, : rows * columns], (count, rows, columns, 1)
    )
    resized = ops.image.resize(
        grids, matrix, interpolation="bilinear", data_format="channels_last"
    )
    return ops.reshape(resized, (count, math.prod(shape)))


def variance_kept(length, shape):
    """What is left of a template's variance after `interpolate`.

    Interpolated scalars are means of independent ones, and vary less.
    """
    grid, matrix = _grids(length, shape)
    kept = 1.0
    for size, stretched in zip(grid, matrix, strict=True):
        centres = (np.arange(stretched) + 0.5) * size / stretched - 0.5
        part = np.clip(centres, 0, size - 1) % 1
        kept *= np.mean(part**2 + (1 - part) ** 2)
    return kept


def _grids(length, shape):
    """A template and the kernel as matrices: two pairs of sides."""
    columns = shape[-1]
    rows = math.prod(shape[:-1])
    across = round(math.sqrt(length * columns / rows))
    across = min(max(1, across), length)
    return (length // across, across), (rows, columns)
