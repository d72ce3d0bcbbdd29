import random

import numpy as np
import pytest

from keras_superweights.allocation.regions import Rectangle
from keras_superweights.allocation.regions import nested_regions
from keras_superweights.allocation.regions import tile

CASES = [
    [(4, 4)],
    [(2, 2), (4, 4), (8, 8)],
    [(4, 6), (4, 6), (4, 6)],
    [(4, 16), (16, 4), (8, 8), (12, 12)],
    [(4, 16), (16, 4), (4, 4), (3, 15)],  # covered by two others
    [(1, 7), (7, 1), (5, 5)],
]


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


def test_regions_are_what_painting_the_plane_gives():
    for boxes in [*CASES, *map(random_boxes, range(300))]:
        painted = paint(boxes)
        found = paint_regions(nested_regions(boxes), painted.shape)
        np.testing.assert_array_equal(found, painted, err_msg=str(boxes))


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
        pytest.param([[(0, 2, 0, 4)], [(2, 4, 0, 4)]], True, id="tiled"),
        pytest.param([[(0, 2, 0, 4)], [(2, 9, 0, 9)]], True, id="cropped"),
        pytest.param([[(0, 4, 0, 4)], [(4, 8, 0, 4)]], True, id="one outside"),
        pytest.param([[(0, 2, 0, 4)], [(2, 4, 0, 3)]], False, id="gap"),
        pytest.param([[(0, 2, 0, 4)], [(1, 3, 0, 4)]], False, id="overlap"),
        pytest.param([[(0, 2, 0, 4), (0, 2, 0, 4)]], False, id="twice"),
        pytest.param([[(-2, 2, 0, 4)]], False, id="negative"),
        pytest.param([[(0, 2, 0, 4)], [(2, 4, -4, 0)]], False, id="outputs"),
    ],
)
def test_a_tiling_covers_each_point_once(regions, expected):
    regions = tuple(tuple(Rectangle(*r) for r in g) for g in regions)
    assert tile((4, 4), regions) is expected
