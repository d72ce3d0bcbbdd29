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
        area: The part of the rectangle, relative to its corner.
    """

    region: int
    part: int
    area: Rectangle


class Joint(NamedTuple):
    """Plans to concatenate along an axis, `INPUTS` or `OUTPUTS`."""

    axis: int
    parts: tuple


def plan_assembly(
    box: tuple[int, int], regions: Sequence[Sequence[Rectangle]]
) -> Tile | Joint:
    """Plans the assembly of a kernel's box from the regions that tile it."""
    placed = [
        (rectangle.crop(box), Tile(number, part, rectangle))
        for number, region in enumerate(regions)
        for part, rectangle in enumerate(region)
        if rectangle.crop(box)
    ]
    return _plan(placed)


def _plan(placed) -> Tile | Joint:
    if len(placed) == 1:
        (place, tile) = placed[0]
        down, across = tile.area.in_start, tile.area.out_start
        area = Rectangle(
            place.in_start - down,
            place.in_stop - down,
            place.out_start - across,
            place.out_stop - across,
        )
        return tile._replace(area=area)
    for axis in (INPUTS, OUTPUTS):
        cuts = _clean_cuts(placed, axis)
        if cuts:
            break
    else:
        axis = INPUTS
        cuts = sorted({_range(place, axis)[0] for place, _ in placed})[1:]
    parts = []
    for start, stop in itertools.pairwise([0, *cuts, math.inf]):
        inside = [
            (part, tile)
            for place, tile in placed
            if (part := _between(place, axis, start, stop))
        ]
        parts.append(_plan(inside))
    return Joint(axis, tuple(parts))


def _range(place, axis):
    return place[:2] if axis == INPUTS else place[2:]


def _clean_cuts(placed, axis):
    """Returns coordinates along the axis that cut no rectangle."""
    ranges = [_range(place, axis) for place, _ in placed]
    return [
        cut
        for cut in sorted({start for start, _ in ranges})[1:]
        if not any(start < cut < stop for start, stop in ranges)
    ]


def _between(place, axis, start, stop):
    """Returns the part of a place between two coordinates, if any."""
    first, last = _range(place, axis)
    first, last = max(first, start), min(last, stop)
    if first >= last:
        return None
    if axis == INPUTS:
        return place._replace(in_start=first, in_stop=last)
    return place._replace(out_start=first, out_stop=last)


def assemble(plan: Tile | Joint, rectangles):
    """Runs a plan on the tensors of each region's rectangles.

    They have shapes `(*window, inputs, outputs)`, as has the kernel returned.
    """
    if isinstance(plan, Joint):
        parts = [assemble(part, rectangles) for part in plan.parts]
        return ops.concatenate(parts, axis=plan.axis)
    tensor = rectangles[plan.region][plan.part]
    area = plan.area
    if tensor.shape[-2:] == (area.in_stop, area.out_stop) and not (
        area.in_start or area.out_start
    ):
        return tensor
    return tensor[
        ...,
        area.in_start : area.in_stop,
        area.out_start : area.out_stop,
    ]
