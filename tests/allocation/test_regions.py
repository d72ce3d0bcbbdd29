import random

import numpy as np
import pytest

from keras_superweights.allocation.regions import Rectangle
from keras_superweights.allocation.regions import nested_regions
from keras_superweights.allocation.regions import tile

CASES = {
    "one": [(4, 4)],
    "nested": [(2, 2), (4, 4), (8, 8)],
    "equal": [(4, 6), (4, 6), (4, 6)],
    "crossing": [(4, 16), (16, 4), (8, 8), (12, 12)],
    "covered by two others": [(4, 16), (16, 4), (4, 4), (3, 15)],
    "thin": [(1, 7), (7, 1), (5, 5)],
}


def paint(boxes):
    """Who owns each point: the first box, by size, that contains it."""
    sides = np.max(boxes, axis=0)
    owner = np.full(sides, -1)
    number = 0
    for inputs, outputs in sorted(set(boxes), key=lambda b: (b[0] * b[1], b)):
        box = owner[:inputs, :outputs]
        if (box < 0).any():
            box[box < 0] = number
            number += 1
    return owner


def paint_regions(regions, sides):
    owner = np.full(sides, -1)
    for number, region in enumerate(regions):
        for rectangle in region:
            a, b, c, d = rectangle
            part = owner[a:b, c:d]
            assert part.size == (b - a) * (d - c) == rectangle.area > 0
            assert (part < 0).all(), "a point belongs to two rectangles"
            part[...] = number
    return owner


def random_boxes(seed):
    draw = random.Random(seed)
    most = draw.choice([3, 8, 20])
    return [
        (draw.randint(1, most), draw.randint(1, most))
        for _ in range(draw.randint(1, 8))
    ]


@pytest.mark.parametrize("boxes", CASES.values(), ids=CASES)
def test_regions_are_what_painting_the_plane_gives(boxes):
    painted = paint(boxes)
    regions = nested_regions(boxes)
    np.testing.assert_array_equal(
        paint_regions(regions, painted.shape), painted
    )


def test_random_regions_are_what_painting_the_plane_gives():
    for seed in range(300):
        boxes = random_boxes(seed)
        painted = paint(boxes)
        found = paint_regions(nested_regions(boxes), painted.shape)
        np.testing.assert_array_equal(found, painted, err_msg=str(boxes))


def test_the_regions_that_meet_a_box_tile_it():
    for seed in range(300):
        boxes = random_boxes(seed)
        regions = nested_regions(boxes)
        for inputs, outputs in boxes:
            pieces = [
                crop
                for region in regions
                for rectangle in region
                if (crop := rectangle.crop((inputs, outputs)))
            ]
            assert sum(p.area for p in pieces) == inputs * outputs
            # And a region that meets the box lies in it or is cropped; what
            # was added for a larger box is never part of a smaller one.
            own = paint(boxes)[:inputs, :outputs]
            assert len(pieces) >= len(np.unique(own))


def test_the_order_of_boxes_and_repetitions_do_not_matter():
    for seed in range(50):
        boxes = random_boxes(seed)
        shuffled = boxes + boxes[:2]
        random.Random(seed).shuffle(shuffled)
        assert nested_regions(boxes) == nested_regions(shuffled)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((8, 8), (2, 5, 3, 4)),
        ((4, 8), (2, 4, 3, 4)),
        ((2, 8), None),
        ((8, 3), None),
    ],
)
def test_a_rectangle_is_cropped_to_a_box(box, expected):
    cropped = Rectangle(2, 5, 3, 4).crop(box)
    assert cropped == (None if expected is None else Rectangle(*expected))


@pytest.mark.parametrize(
    ("regions", "expected"),
    [
        ([[(0, 2, 0, 4)], [(2, 4, 0, 4)]], True),
        ([[(0, 2, 0, 4)], [(2, 9, 0, 9)]], True),
        ([[(0, 4, 0, 4)], [(4, 8, 0, 4)]], True),
        ([[(0, 2, 0, 4)], [(2, 4, 0, 3)]], False),
        ([[(0, 2, 0, 4)], [(1, 3, 0, 4)]], False),
        ([[(0, 2, 0, 4), (0, 2, 0, 4)]], False),
        ([[(-2, 2, 0, 4)]], False),
        ([[(0, 2, 0, 4)], [(2, 4, -4, 0)]], False),
    ],
    ids=[
        "tiled",
        "cropped",
        "one outside",
        "gap",
        "overlap and gap",
        "twice",
        "negative",
        "negative outputs",
    ],
)
def test_a_tiling_covers_each_point_once(regions, expected):
    regions = tuple(tuple(Rectangle(*r) for r in g) for g in regions)
    assert tile((4, 4), regions) is expected
