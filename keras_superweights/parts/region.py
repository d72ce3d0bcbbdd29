"""The geometry of nested SuperWeights: rectangles of inputs and outputs."""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from keras import ops

from keras_superweights.allocation.part import Geometry
from keras_superweights.allocation.regions import Rectangle
from keras_superweights.allocation.regions import tile
from keras_superweights.arguments import check_type
from keras_superweights.arguments import is_integer
from keras_superweights.arguments import quoted
from keras_superweights.parts.assembly import assemble
from keras_superweights.parts.assembly import plan_assembly


@dataclass(frozen=True)
class Region(Geometry):
    """A region of the plane of inputs and outputs (SWN, section 1.1).

    A kernel narrower than the region uses the part inside its own box.

    Args:
        window: Window of the kernels served; empty for dense kernels.
        rectangles: Disjoint rectangles, each a `Rectangle` or its four
            numbers `(in_start, in_stop, out_start, out_stop)`.

    Raises:
        TypeError: If a number is not an integer.
        ValueError: If there is no rectangle, or one or the window is empty.
    """

    window: tuple[int, ...]
    rectangles: tuple[Rectangle, ...]

    def __post_init__(self):
        rectangles = self.rectangles
        is_right = isinstance(rectangles, (list, tuple)) and all(
            isinstance(each, (list, tuple))
            and len(each) == 4
            and all(map(is_integer, each))
            for each in rectangles
        )
        expected = "of rectangles, of four integers each"
        check_type("rectangles", rectangles, is_right, expected)
        rectangles = tuple(itertools.starmap(Rectangle, rectangles))
        object.__setattr__(self, "rectangles", rectangles)
        super().__post_init__()
        if not rectangles or any(min(r.sides) <= 0 for r in rectangles):
            raise ValueError(
                "`rectangles` must hold at least one rectangle, none of them "
                f"empty. Received: rectangles={quoted(rectangles)}."
            )
        if any(side < 1 for side in self.window):
            raise ValueError(
                "`window` must have sides of at least 1. Received: "
                f"window={quoted(self.window)}."
            )

    @classmethod
    def of(cls, kernel) -> "Region":
        """Returns the region that is the whole of a `KernelSpec`."""
        inputs, outputs = kernel.box
        return cls(kernel.window, (Rectangle(0, inputs, 0, outputs),))

    @property
    def size(self):
        return math.prod(self.window) * sum(r.area for r in self.rectangles)

    @property
    def _ends(self):
        """Where the scalars of each rectangle but the last end."""
        sizes = [math.prod(self.window) * r.area for r in self.rectangles]
        return list(itertools.accumulate(sizes))[:-1]

    def check(self, kernels):
        for kernel in kernels:
            if kernel.window != self.window:
                raise ValueError(
                    "kernels must have the window of their SuperWeight. "
                    f"Received: window {self.window}, and '{kernel.layer}' "
                    f"with shape {kernel.shape}."
                )

    def covers(self, kernel, geometries, size):
        return (
            size == kernel.size
            and all(isinstance(each, Region) for each in geometries)
            and tile(kernel.box, [each.rectangles for each in geometries])
        )

    def assembler(self, kernel, geometries):
        plan = plan_assembly(kernel.box, [g.rectangles for g in geometries])

        def assembled(vectors):
            pairs = zip(geometries, vectors, strict=True)
            return assemble(
                plan, [each.split(vector) for each, vector in pairs]
            )

        return assembled

    def split(self, vector):
        """Splits a vector into tensors of the rectangles, window first."""
        vectors = ops.split(vector, self._ends) if self._ends else [vector]
        return [
            ops.reshape(vector, (*self.window, *rectangle.sides))
            for vector, rectangle in zip(vectors, self.rectangles, strict=True)
        ]

    def boxes(self, kernels):
        boxes = sorted({kernel.box for kernel in kernels})
        common = {(min(a, c), min(b, d)) for a, b in boxes for c, d in boxes}
        return [box for box in sorted(common) if any(self.clip(box))]

    def common_box(self, one, other):
        return min(one.box[0], other.box[0]), min(one.box[1], other.box[1])

    def clip(self, box):
        return tuple(rectangle.crop(box) for rectangle in self.rectangles)

    def crop(self, rows, box):
        count = len(rows)
        blocks = np.split(rows, self._ends, axis=1)
        inside = []
        for rectangle, block in zip(self.rectangles, blocks, strict=True):
            if clipped := rectangle.crop(box):
                height, width = clipped.sides
                block = block.reshape(count, -1, *rectangle.sides)
                inside.append(block[..., :height, :width].reshape(count, -1))
        return np.concatenate(inside, axis=1)
