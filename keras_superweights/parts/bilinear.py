"""The transform that makes a kernel of any template by interpolation."""

import math
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from keras_superweights.allocation.part import Transform


@dataclass(frozen=True)
class Bilinear(Transform):
    """Resizes a template to a kernel, bilinearly (NPAS, section 3.3).

    Args:
        length: Scalars in the template: fewer than the kernels have, or more.
        kernels: See `Transform`.
    """

    length: int

    def check(self, kernels):
        if not isinstance(self.length, int) or self.length < 1:
            raise ValueError(
                "`length` must be a positive integer. Received: "
                f"length={self.length!r}."
            )

    def input_size(self, kernel):
        return self.length

    def variance_kept(self, kernel):
        return variance_kept(self.length, kernel.shape)

    def label(self, kernel):
        return "interpolated"

    def layer(self, kernel, **kwargs):
        return BilinearLayer(kernel.shape, **kwargs)


class BilinearLayer(keras.layers.Layer):
    """Interpolates a template.

    Args:
        shape: Shape of the kernel.
        **kwargs: As for `keras.layers.Layer`, its `name` and `dtype`.
    """

    def __init__(self, shape, **kwargs):
        super().__init__(**kwargs)
        self._shape = shape
        self.built = True

    def transform(self, template):
        """The kernel of a template, a tensor of any shape."""
        template = ops.reshape(template, (1, -1))
        return ops.reshape(interpolate(template, self._shape), self._shape)

    def linear_variables(self):
        """Lists of variables, in each of which the kernel is linear."""
        return []


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
