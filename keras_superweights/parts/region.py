"""The geometry of nested SuperWeights: rectangles of inputs and outputs."""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from keras import ops

from keras_superweights.allocation.part import Geometry
from keras_superweights.allocation.regions import Rectangle
from keras_superweights.allocation.regions import tile
from keras_superweights.parts.assembly import assemble
from keras_superweights.parts.assembly import plan_assembly


@dataclass(frozen=True)
class Region(Geometry):
    """A region of the plane of inputs and outputs (SWN, section 1.1).

    A kernel that is narrower than the region uses the part inside its own
    box.

    Args:
        window: Window of the kernels served; empty for dense kernels.
        rectangles: Disjoint rectangles, each a `Rectangle` or its four
            numbers `(in_start, in_stop, out_start, out_stop)`.

    Raises:
        ValueError: If there is no rectangle, or one is empty.
    """

    window: tuple[int, ...]
    rectangles: tuple[Rectangle, ...]

    def __post_init__(self):
        rectangles = tuple(Rectangle(*each) for each in self.rectangles)
        object.__setattr__(self, "rectangles", rectangles)
        if not rectangles or any(
            r.in_stop <= r.in_start or r.out_stop <= r.out_start
            for r in rectangles
        ):
            raise ValueError(
                "`rectangles` must hold at least one rectangle, none of them "
                f"empty. Received: rectangles={self.rectangles}."
            )

    @classmethod
    def of(cls, kernel) -> "Region":
        """The region that is the whole of a `KernelSpec`."""
        inputs, outputs = kernel.box
        return cls(kernel.window, (Rectangle(0, inputs, 0, outputs),))

    @property
    def size(self):
        return math.prod(self.window) * sum(r.area for r in self.rectangles)

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

        def put_together(vectors):
            return assemble(
                plan,
                [
                    geometry.split(vector)
                    for geometry, vector in zip(
                        geometries, vectors, strict=True
                    )
                ],
            )

        return put_together

    def split(self, vector):
        """A vector as the tensors of the rectangles, window first."""
        sizes = [math.prod(self.window) * r.area for r in self.rectangles]
        ends = list(itertools.accumulate(sizes))[:-1]
        vectors = ops.split(vector, ends) if ends else [vector]
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
        inside = []
        start = 0
        for rectangle, clipped in zip(
            self.rectangles, self.clip(box), strict=True
        ):
            stop = start + math.prod(self.window) * rectangle.area
            block = rows[:, start:stop].reshape(len(rows), -1, *rectangle.sides)
            start = stop
            if clipped:
                height, width = clipped.sides
                inside.append(
                    block[:, :, :height, :width].reshape(len(rows), -1)
                )
        return np.concatenate(inside, axis=1)
