"""The transform that interpolates a template of any length to a kernel."""

import math
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from keras_superweights.allocation.part import Transform
from keras_superweights.arguments import check_integer


@dataclass(frozen=True)
class Bilinear(Transform):
    """Resizes a template to a kernel, bilinearly (NPAS, section 3.3).

    Args:
        length: Scalars in the template: fewer or more than in the kernels.
        kernels: See `Transform`.
    """

    length: int

    def __post_init__(self):
        super().__post_init__()
        check_integer("length", self.length)

    def check(self, kernels):
        # What is longer than all kernels is not read, only skipped.
        most = max((kernel.size for kernel in kernels), default=math.inf)
        check_integer("length", self.length, most=most)

    def input_size(self, kernel):
        return self.length

    def variance_kept(self, kernel):
        # Interpolated scalars are means of independent ones, and vary less.
        kept = 1.0
        for size, stretched in zip(
            *_grids(self.length, kernel.shape), strict=True
        ):
            _, part = _sources(size, stretched)
            kept *= np.mean(part**2 + (1 - part) ** 2)
        return kept

    def label(self, kernel):
        return "interpolated"

    def layer(self, kernel, **kwargs):
        return BilinearLayer(kernel.shape, **kwargs)


class BilinearLayer(keras.layers.Layer):
    """Interpolates a template to a kernel of a shape."""

    def __init__(self, shape, **kwargs):
        super().__init__(**kwargs)
        self._shape = shape
        self.built = True

    def transform(self, template):
        """Returns the kernel of a template, a tensor of any shape."""
        template = ops.reshape(template, (1, -1))
        return ops.reshape(interpolate(template, self._shape), self._shape)


def interpolate(templates, shape):
    """Resizes templates to a kernel's shape, bilinearly.

    A kernel is a matrix of fan-in times outputs. Each template is laid out as
    a matrix of nearly the same proportions, and resized to the kernel with
    pixel centres aligned; scalars that fill no whole row are unused. The
    kernel may also be the smaller one.

    Returns:
        A tensor `(num_templates, scalars in the kernel)` from templates
        `(num_templates, length)`.
    """
    count, length = templates.shape
    (rows, columns), (height, width) = _grids(length, shape)
    grids = ops.reshape(templates[:, : rows * columns], (count, rows, columns))
    # Not `ops.image.resize`: compiled by XLA, it takes the wrong row where
    # centres of both grids coincide.
    across = _stretch(ops.transpose(grids, (2, 0, 1)), width)
    resized = _stretch(ops.transpose(across, (2, 1, 0)), height)
    return ops.reshape(
        ops.transpose(resized, (1, 0, 2)), (count, height * width)
    )


def _stretch(tensor, size):
    """Resizes the first of three axes, which is the fastest."""
    lower, part = _sources(tensor.shape[0], size)
    upper = np.minimum(lower + 1, tensor.shape[0] - 1)
    part = ops.convert_to_tensor(part.reshape(-1, 1, 1), tensor.dtype)
    return (1 - part) * ops.take(tensor, lower, axis=0) + part * ops.take(
        tensor, upper, axis=0
    )


def _sources(size, stretched):
    """Locates the centres of a stretched axis between those of the axis.

    Returns:
        `(lower, part)`: the index before each centre, and the distance from
        there as a part of the step to the next, in `[0, 1)`.
    """
    # In integers, so that coinciding centres meet exactly.
    doubled = 2 * stretched
    centres = (2 * np.arange(stretched) + 1) * size - stretched
    centres = np.clip(centres, 0, doubled * (size - 1))
    return centres // doubled, centres % doubled / doubled


def _grids(length, shape):
    """Returns the sides of the template and of the kernel as matrices."""
    columns = shape[-1]
    rows = math.prod(shape[:-1])
    across = round(math.sqrt(length * columns / rows))
    across = min(max(1, across), length)
    return (length // across, across), (rows, columns)
