"""How the pieces of a kernel are put together: planned once, run often.

A kernel is tiled by rectangles of SuperWeights. The plan is a tree: a `Tile`
is a rectangle, cropped to the kernel's box; a `Joint` concatenates its parts
along the inputs or the outputs. Nested kernels need no more than that, and
each scalar is copied once per level; where rectangles interlock, one is cut.
"""

from collections.abc import Sequence
from typing import NamedTuple

from keras import ops

from keras_superweights.allocation.regions import Rectangle

INPUTS = -2
OUTPUTS = -1


class Tile(NamedTuple):
    """Part of one rectangle of one piece of the kernel.

    Attributes:
        piece: Position of the piece among those of the kernel.
        part: Position of the rectangle in the piece's region.
        area: Which part of the rectangle, counted from its own corner.
    """

    piece: int
    part: int
    area: Rectangle


class Joint(NamedTuple):
    """Plans to be concatenated along an axis, `INPUTS` or `OUTPUTS`."""

    axis: int
    parts: tuple


def plan_assembly(
    box: tuple[int, int], regions: Sequence[Sequence[Rectangle]]
) -> Tile | Joint:
    """Plans how to make a kernel's box from the regions that tile it."""
    placed = [
        (rectangle.crop(box), Tile(piece, part, rectangle))
        for piece, region in enumerate(regions)
        for part, rectangle in enumerate(region)
        if rectangle.crop(box)
    ]
    return _plan(placed)


def _plan(placed) -> Tile | Joint:
    if len(placed) == 1:
        (place, tile) = placed[0]
        corner = tile.area
        area = Rectangle(
            place.in_start - corner.in_start,
            place.in_stop - corner.in_start,
            place.out_start - corner.out_start,
            place.out_stop - corner.out_start,
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
    for start, stop in zip([None, *cuts], [*cuts, None], strict=True):
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
    """Coordinates along the axis at which no rectangle has to be cut."""
    ranges = [_range(place, axis) for place, _ in placed]
    return [
        cut
        for cut in sorted({start for start, _ in ranges})[1:]
        if not any(start < cut < stop for start, stop in ranges)
    ]


def _between(place, axis, start, stop):
    """The part of a place between two coordinates along the axis."""
    first, last = _range(place, axis)
    first = first if start is None else max(first, start)
    last = last if stop is None else min(last, stop)
    if first >= last:
        return None
    if axis == INPUTS:
        return place._replace(in_start=first, in_stop=last)
    return place._replace(out_start=first, out_stop=last)


def assemble(plan: Tile | Joint, rectangles):
    """Runs a plan.

    Args:
        plan: From `plan_assembly`.
        rectangles: For each piece, the tensors of its rectangles, each of
            shape `(*window, inputs, outputs)`.

    Returns:
        The kernel, of shape `(*window, inputs, outputs)`.
    """
    if isinstance(plan, Joint):
        parts = [assemble(part, rectangles) for part in plan.parts]
        return ops.concatenate(parts, axis=plan.axis)
    tensor = rectangles[plan.piece][plan.part]
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
