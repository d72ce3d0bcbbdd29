"""Assembly of a kernel from the rectangles of its SuperWeights.

Assembly is planned once and run often. The plan is a tree: a `Tile` is a
rectangle, cropped to the kernel's box; a `Joint` concatenates its parts along
the inputs or the outputs. Nested kernels need no more than that, and each
scalar is copied once per level; where rectangles interlock, one is cut.
"""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

from keras import ops

from keras_superweights.allocation.regions import Rectangle

INPUTS = -2
OUTPUTS = -1


class Tile(NamedTuple):
    """Part of one rectangle of one region of the kernel.

    Attributes:
        region: Position of the region among those of the kernel.
        part: Position of the rectangle in the region.
        area: Slices of its inputs and outputs.
    """

    region: int
    part: int
    area: tuple[slice, slice]


class Joint(NamedTuple):
    """Plans to concatenate along an axis, `INPUTS` or `OUTPUTS`."""

    axis: int
    parts: tuple


def plan_assembly(
    box: tuple[int, int], regions: Sequence[Sequence[Rectangle]]
) -> Tile | Joint:
    """Plans the assembly of a kernel's box from the regions that tile it."""
    # For each rectangle the ranges of inputs and outputs that it fills.
    placed = [
        ((place[:2], place[2:]), (number, part, rectangle))
        for number, region in enumerate(regions)
        for part, rectangle in enumerate(region)
        if (place := rectangle.crop(box))
    ]
    return _plan(placed)


def _plan(placed) -> Tile | Joint:
    if len(placed) == 1:
        (((rows, columns), (number, part, rectangle)),) = placed
        down, across = rectangle.in_start, rectangle.out_start
        area = (
            slice(rows[0] - down, rows[1] - down),
            slice(columns[0] - across, columns[1] - across),
        )
        return Tile(number, part, area)
    for axis in (INPUTS, OUTPUTS):
        cuts = _clean_cuts(placed, axis)
        if cuts:
            break
    else:
        axis = INPUTS
        cuts = sorted({place[axis][0] for place, _ in placed})[1:]
    parts = []
    for start, stop in itertools.pairwise([0, *cuts, math.inf]):
        inside = [
            (part, source)
            for place, source in placed
            if (part := _between(place, axis, start, stop))
        ]
        parts.append(_plan(inside))
    return Joint(axis, tuple(parts))


def _clean_cuts(placed, axis):
    """Returns coordinates along the axis that cut no rectangle."""
    ranges = [place[axis] for place, _ in placed]
    return [
        cut
        for cut in sorted({start for start, _ in ranges})[1:]
        if not any(start < cut < stop for start, stop in ranges)
    ]


def _between(place, axis, start, stop):
    """Returns the part of a place between two coordinates, if any."""
    ranges = list(place)
    first, last = place[axis]
    ranges[axis] = max(first, start), min(last, stop)
    return ranges if ranges[axis][0] < ranges[axis][1] else None


def assemble(plan: Tile | Joint, rectangles):
    """Runs a plan on the tensors of each region's rectangles.

    They have shapes `(*window, inputs, outputs)`, as has the kernel returned.
    """
    if isinstance(plan, Joint):
        parts = [assemble(part, rectangles) for part in plan.parts]
        return ops.concatenate(parts, axis=plan.axis)
    tensor = rectangles[plan.region][plan.part]
    if tensor.shape[-2:] == tuple(side.stop - side.start for side in plan.area):
        return tensor
    return tensor[(..., *plan.area)]
