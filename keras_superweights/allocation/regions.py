"""Cuts the kernels of a cluster into nested regions, their SuperWeights.

Kernels of a cluster have one window and differ in their box of inputs and
outputs; all boxes have a corner at the origin. Ordered by size, the first box
is one region; each later one reuses the earlier regions, cropped to its own
box where it is narrower, and adds a region for what they leave uncovered:

    box (2, 4) after (2, 2) after (1, 2):       inputs
        first   0 <= in < 1, 0 <= out < 2         |  a a c c
        second  1 <= in < 2, 0 <= out < 2         v  b b c c
        third   0 <= in < 2, 2 <= out < 4            outputs ->

So each point of the plane belongs to at most one region, nothing is warped,
and a wide layer contains what its narrow siblings use.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple


class Rectangle(NamedTuple):
    """Half-open ranges of inputs and outputs, `in_start <= i < in_stop`."""

    in_start: int
    in_stop: int
    out_start: int
    out_stop: int

    @property
    def area(self) -> int:
        return math.prod(self.sides)

    @property
    def sides(self) -> tuple[int, int]:
        """The numbers of inputs and outputs."""
        return self.in_stop - self.in_start, self.out_stop - self.out_start

    def crop(self, box: tuple[int, int]) -> "Rectangle | None":
        """Returns the part inside the box at the origin, if any."""
        in_start, in_stop, out_start, out_stop = self
        cropped = Rectangle(
            in_start, min(in_stop, box[0]), out_start, min(out_stop, box[1])
        )
        return cropped if min(cropped.sides) > 0 else None


def nested_regions(
    boxes: Sequence[tuple[int, int]],
) -> list[tuple[Rectangle, ...]]:
    """Returns the regions that together make every box.

    Args:
        boxes: `(inputs, outputs)` of each kernel; equal ones count once.

    Returns:
        Regions in order of creation, each a tuple of disjoint rectangles (an
        L-shaped region has two). Regions are disjoint, and those that meet a
        box tile it.

    Example:

    >>> for region in nested_regions([(2, 4), (1, 2), (2, 2)]):
    ...     print([tuple(rectangle) for rectangle in region])
    [(0, 1, 0, 2)]
    [(1, 2, 0, 2)]
    [(0, 2, 2, 4)]
    """
    regions = []
    corners = []  # of the earlier boxes; what they cover is a staircase
    for box in sorted(set(boxes), key=lambda box: (box[0] * box[1], box)):
        region = _uncovered(box, corners)
        if region:
            regions.append(region)
            corners.append(box)
    return regions


def _uncovered(box, corners) -> tuple[Rectangle, ...]:
    """Returns the part of a box outside all boxes with these far corners."""
    rows = sorted({0, box[0], *(a for a, _ in corners if a < box[0])})
    rectangles = []
    for start, stop in zip(rows[:-1], rows[1:], strict=True):
        covered = max((b for a, b in corners if a > start), default=0)
        if covered >= box[1]:
            continue
        last = rectangles[-1] if rectangles else None
        if last and last.out_start == covered and last.in_stop == start:
            rectangles[-1] = last._replace(in_stop=stop)
        else:
            rectangles.append(Rectangle(start, stop, covered, box[1]))
    return tuple(rectangles)


def tile(box: tuple[int, int], regions: Sequence[Sequence[Rectangle]]) -> bool:
    """Whether the regions, cropped to a box, cover each point of it once.

    Where corners cancel in pairs, but for the box's own, each point is covered
    an odd number of times; with an area that is the box's, that is once.
    """
    height, width = box
    corners = {(0, 0), (0, width), (height, 0), (height, width)}
    area = height * width
    for region in regions:
        for rectangle in region:
            place = rectangle.crop(box)
            if place is None:
                continue
            a, b, c, d = place
            if a < 0 or c < 0:
                return False
            corners ^= {(a, c), (a, d), (b, c), (b, d)}
            area -= place.area
    return not corners and not area
