import numpy as np
import pytest

from keras_superweights.allocation.regions import Rectangle
from keras_superweights.allocation.regions import nested_regions
from keras_superweights.parts import assembly

# Four rectangles around a fifth: no cut leaves all of them whole.
PINWHEEL = [
    [Rectangle(0, 1, 0, 2)],
    [Rectangle(0, 2, 2, 3)],
    [Rectangle(2, 3, 1, 3)],
    [Rectangle(1, 3, 0, 1)],
    [Rectangle(1, 2, 1, 2)],
]
NESTED = nested_regions([(2, 2), (4, 4), (8, 8)])


def leaves(plan):
    if isinstance(plan, assembly.Tile):
        return 1
    return sum(map(leaves, plan.parts))


@pytest.mark.parametrize(
    ("box", "regions", "count"),
    [
        ((4, 6), [[Rectangle(0, 4, 0, 6)]], 1),
        ((2, 3), [[Rectangle(0, 4, 0, 6)]], 1),
        # Joined without cutting a rectangle.
        ((8, 8), NESTED, sum(map(len, NESTED))),
        ((3, 3), PINWHEEL, None),
        ((2, 3), PINWHEEL, None),
    ],
    ids=["whole", "cropped", "nested", "interlocking", "interlocking, cropped"],
)
def test_rectangles_cut_out_of_a_plane_are_put_together(box, regions, count):
    plane = np.random.default_rng(0).normal(size=(2, 8, 8)).astype("float32")
    rectangles = [
        [plane[..., a:b, c:d] for a, b, c, d in region] for region in regions
    ]
    plan = assembly.plan_assembly(box, regions)
    kernel = assembly.assemble(plan, rectangles)
    np.testing.assert_array_equal(kernel, plane[..., : box[0], : box[1]])
    if count:
        assert leaves(plan) == count
