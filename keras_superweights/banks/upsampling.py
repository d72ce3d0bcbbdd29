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
        **kwargs: As for `keras.layers.Layer`, its `name` and `dtype`.
    """

    def __init__(self, length, shape, **kwargs):
        super().__init__(**kwargs)
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
        **kwargs: As for `keras.layers.Layer`, its `name` and `dtype`.
    """

    def __init__(self, length, shape, **kwargs):
        super().__init__(**kwargs)
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
    (rows, columns), (height, width) = _grids(length, shape)
    grids = ops.reshape(templates[:, : rows * columns], (count, rows, columns))
    # Not `ops.image.resize`: compiled by XLA, it takes the wrong row where a
    # centre of the one grid lies exactly on one of the other.
    across = _stretch(ops.transpose(grids, (2, 0, 1)), width)
    resized = _stretch(ops.transpose(across, (2, 1, 0)), height)
    return ops.reshape(
        ops.transpose(resized, (1, 0, 2)), (count, height * width)
    )


def _stretch(tensor, size):
    """Resizes the first axis of a tensor of three, which is the fastest."""
    lower, part = _sources(tensor.shape[0], size)
    upper = np.minimum(lower + 1, tensor.shape[0] - 1)
    part = ops.convert_to_tensor(part.reshape(-1, 1, 1), tensor.dtype)
    return (1 - part) * ops.take(tensor, lower, axis=0) + part * ops.take(
        tensor, upper, axis=0
    )


def _sources(size, stretched):
    """Where the centres of a stretched axis lie between those of the axis.

    Returns:
        `(lower, part)`: for each scalar, the one before it, and how far it is
        from there to the next, from 0 to below 1.
    """
    # In integers: a centre that lies on another one must not miss it.
    doubled = 2 * stretched
    centres = (2 * np.arange(stretched) + 1) * size - stretched
    centres = np.clip(centres, 0, doubled * (size - 1))
    return centres // doubled, centres % doubled / doubled


def variance_kept(length, shape):
    """What is left of a template's variance after `interpolate`.

    Interpolated scalars are means of independent ones, and vary less.
    """
    grid, matrix = _grids(length, shape)
    kept = 1.0
    for size, stretched in zip(grid, matrix, strict=True):
        _, part = _sources(size, stretched)
        kept *= np.mean(part**2 + (1 - part) ** 2)
    return kept


def _grids(length, shape):
    """A template and the kernel as matrices: two pairs of sides."""
    columns = shape[-1]
    rows = math.prod(shape[:-1])
    across = round(math.sqrt(length * columns / rows))
    across = min(max(1, across), length)
    return (length // across, across), (rows, columns)
