import numpy as np
import pytest

from keras_superweights.allocation.regions import Rectangle
from keras_superweights.allocation.regions import nested_regions
from keras_superweights.parts.assembly import Joint
from keras_superweights.parts.assembly import Tile
from keras_superweights.parts.assembly import assemble
from keras_superweights.parts.assembly import plan_assembly

# Four rectangles around a fifth: no cut leaves all of them whole.
PINWHEEL = [
    [Rectangle(0, 1, 0, 2)],
    [Rectangle(0, 2, 2, 3)],
    [Rectangle(2, 3, 1, 3)],
    [Rectangle(1, 3, 0, 1)],
    [Rectangle(1, 2, 1, 2)],
]


def check(box, regions, window=(2,)):
    """Assembles rectangles cut out of a plane, and compares with the plane."""
    far = [max(r[i] for g in regions for r in g) for i in (1, 3)]
    generator = np.random.default_rng(0)
    plane = generator.normal(size=(*window, *far)).astype("float32")
    rectangles = [
        [plane[..., a:b, c:d] for a, b, c, d in region] for region in regions
    ]
    plan = plan_assembly(box, regions)
    kernel = assemble(plan, rectangles)
    np.testing.assert_array_equal(kernel, plane[..., : box[0], : box[1]])
    return plan


def leaves(plan):
    if isinstance(plan, Tile):
        return 1
    return sum(map(leaves, plan.parts))


@pytest.mark.parametrize("box", [(4, 6), (2, 3)], ids=["whole", "cropped"])
def test_a_kernel_of_one_region_is_that_region_or_cropped_out(box):
    assert isinstance(check(box, [[Rectangle(0, 4, 0, 6)]]), Tile)


def test_nested_kernels_are_joined_without_cutting_a_rectangle():
    regions = nested_regions([(2, 2), (4, 4), (8, 8)])
    plan = check((8, 8), regions)
    assert isinstance(plan, Joint)
    assert leaves(plan) == sum(map(len, regions)) == 5


@pytest.mark.parametrize("window", [(), (1,), (3, 3), (2, 2, 2)], ids=str)
def test_rectangles_that_interlock_are_put_together(window):
    check((3, 3), PINWHEEL, window)
    check((2, 3), PINWHEEL, window)
