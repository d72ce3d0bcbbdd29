import random

import numpy as np
import pytest

from keras_superweights.allocation import KernelSpec
from keras_superweights.allocation.regions import nested_regions
from keras_superweights.parts import Flat
from keras_superweights.parts import Region
from tests import builders

# Around the kernel of 3 x 4: two rectangles apart, and one between them.
SIDES = Region((2,), ((0, 3, 0, 1), (0, 3, 3, 4)))
MIDDLE = Region((2,), ((0, 3, 1, 3),))
KERNEL = KernelSpec(0, "layer", (2, 3, 4))


def random_cluster(draw):
    """Kernels of one window, and the nested regions that they are cut into."""
    window = draw.choice([(), (3,), (2, 2)])
    kernels = [
        KernelSpec(
            0, f"l{i}", (*window, draw.randint(1, 6), draw.randint(1, 6))
        )
        for i in range(draw.randint(1, 5))
    ]
    regions = nested_regions([kernel.box for kernel in kernels])
    return kernels, [Region(window, region) for region in regions]


def numbered(regions):
    """Vectors of regions, all scalars different."""
    ends = np.cumsum([0, *(region.size for region in regions)])
    return [
        np.arange(start, stop, dtype="float32")
        for start, stop in zip(ends, ends[1:], strict=False)
    ]


def serving(kernel, regions):
    return [region for region in regions if any(region.clip(kernel.box))]


def test_kernels_are_put_together_as_if_painted_point_by_point():
    draw = random.Random(0)
    for _ in range(40):
        kernels, regions = random_cluster(draw)
        for kernel in kernels:
            parts = serving(kernel, regions)
            parts[0].check([kernel])
            assert parts[0].covers(kernel, parts, kernel.size)
            expected = np.full(kernel.shape, np.nan)
            vectors = numbered(parts)
            for part, vector in zip(parts, vectors, strict=True):
                builders.paint(expected, part, vector)
            found = parts[0].assembler(kernel, parts)(vectors)
            np.testing.assert_array_equal(found, expected)


def test_what_two_kernels_have_in_common_is_what_lies_in_both():
    draw = random.Random(1)
    for _ in range(40):
        kernels, regions = random_cluster(draw)
        for region in regions:
            users = [k for k in kernels if any(region.clip(k.box))]
            rows = np.stack([numbered([region])[0], -numbered([region])[0]])
            found = set()
            for one in users:
                for other in users:
                    box = region.common_box(one, other)
                    planes = [np.full(k.shape, np.nan) for k in (one, other)]
                    for plane in planes:
                        builders.paint(plane, region, rows[0])
                    common = set(planes[0].flat) & set(planes[1].flat)
                    common = {value for value in common if value == value}
                    if not common:
                        continue
                    found.add(box)
                    cropped = region.crop(rows, box)
                    assert set(cropped[0]) == common
                    assert len(cropped[0]) == len(common)
                    np.testing.assert_array_equal(cropped[0], -cropped[1])
            assert region.boxes(users) == sorted(found)


def test_only_what_tiles_the_box_covers_a_kernel():
    assert Region.of(KERNEL) == Region((2,), ((0, 3, 0, 4),))
    assert Region.of(KERNEL).covers(KERNEL, [Region.of(KERNEL)], 24)
    assert SIDES.covers(KERNEL, [SIDES, MIDDLE], 24)
    assert not SIDES.covers(KERNEL, [SIDES], 24)
    assert not SIDES.covers(KERNEL, [SIDES, SIDES], 24)
    assert not SIDES.covers(KERNEL, [SIDES, Flat(12)], 24)
    # A transform that takes less takes a vector.
    assert not SIDES.covers(KERNEL, [SIDES, MIDDLE], 23)


def test_another_window_and_empty_rectangles_are_refused():
    dense = KernelSpec(0, "dense", (3, 4))
    with pytest.raises(ValueError, match=r"window \(2,\), and 'dense' with"):
        SIDES.check([KERNEL, dense])
    for rectangles in ((), ((0, 3, 2, 2),), ((0, 3, 0, 4), (2, 1, 0, 4))):
        with pytest.raises(ValueError, match="at least one rectangle, none"):
            Region((2,), rectangles)
    for number in (3.0, True, "3"):
        with pytest.raises(TypeError, match=f"four integers.*{number!r}"):
            Region((2,), ((0, number, 0, 4),))
