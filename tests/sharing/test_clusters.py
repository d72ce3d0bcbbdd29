import itertools

import pytest

from keras_superweights.allocation import KernelSpec
from keras_superweights.sharing import clusters
from tests import builders

# Two members: five 3x3 layers with two 1x1 in between, and two 3x3 layers.
DEEP = builders.member(
    (3, 3, 3, 8),
    (3, 3, 8, 8),
    (1, 1, 8, 16),
    (3, 3, 8, 16),
    (3, 3, 16, 16),
    (1, 1, 16, 32),
    (3, 3, 16, 32),
)
SHALLOW = builders.member((3, 3, 3, 4), (3, 3, 8, 8), index=1)
KERNELS = [*DEEP.kernels, *SHALLOW.kernels]
MAKERS = {
    "depth_bins": lambda kernels: clusters.depth_bins(kernels, 3),
    "positions": clusters.positions,
    "shapes": clusters.shapes,
    "shapes_in_members": clusters.shapes_in_members,
    "same_layers": clusters.same_layers,
}


def groups(result):
    return {cluster.kernels for cluster in result}


@pytest.mark.parametrize(
    ("num_bins", "expected"),
    [
        (1, {(0, 1, 3, 4, 6, 7, 8), (2, 5)}),
        # Five layers in two bins: 0 1 2 | 3 4, by floor(position * 2 / 5).
        (2, {(0, 1, 3, 7), (4, 6, 8), (2,), (5,)}),
        # Positions 0, 1, 2, 3, 4 of 5 fall into bins 0, 0, 1, 2, 3.
        (4, {(0, 1, 7), (3,), (4, 8), (6,), (2,), (5,)}),
    ],
)
def test_depth_bins_are_of_equal_count_and_apart_by_window(num_bins, expected):
    assert groups(clusters.depth_bins(KERNELS, num_bins)) == expected


TWICE = [*KERNELS[:2], KernelSpec(0, "again", (3, 3, 8, 8)), KERNELS[8]]
SAME = [KernelSpec(0, name, (3, 3, 8, 8)) for name in "ab"] + [
    KernelSpec(1, "other", (3, 3, 4, 4)),
    KernelSpec(1, "a", (3, 3, 8, 8)),
    KernelSpec(2, "a", (3, 3, 8, 8), kind="depthwise"),
    KernelSpec(2, "b", (3, 3, 8, 8)),
    KernelSpec(2, "c", (3, 3, 8, 8)),
]


@pytest.mark.parametrize(
    ("name", "kernels", "expected"),
    [
        ("positions", KERNELS, {(0, 7), (1, 8), *((i,) for i in range(2, 7))}),
        ("shapes", KERNELS, {(1, 8), *((i,) for i in (0, 2, 3, 4, 5, 6, 7))}),
        ("shapes_in_members", TWICE, {(0,), (1, 2), (3,)}),
        ("same_layers", SAME, {(0, 3, 5), (1, 6), (2,), (4,)}),
    ],
    ids=["positions", "shapes", "shapes in members", "same layers"],
)
def test_clusters_join_what_their_name_says(name, kernels, expected):
    assert groups(MAKERS[name](kernels)) == expected


def test_clusters_of_a_part_are_reindexed_among_all():
    part = [1, 4, 6]
    found = clusters.positions([KERNELS[index] for index in part])
    assert groups(clusters.reindexed(found, part)) == {(1,), (4,), (6,)}
    (both,) = clusters.reindexed([clusters.Cluster("both", (0, 2))], part)
    assert both == clusters.Cluster("both", (1, 6))


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_every_kernel_is_in_one_cluster_and_names_are_unique(make):
    found = make(KERNELS)
    held = [kernel for cluster in found for kernel in cluster.kernels]
    assert sorted(held) == list(range(len(KERNELS)))
    assert len({cluster.name for cluster in found}) == len(found)
    assert all(list(c.kernels) == sorted(c.kernels) for c in found)


def test_bins_differ_by_one_layer_at_most():
    for count, num_bins in itertools.product(range(1, 14), range(1, 8)):
        kernels = builders.member(*[(3, 3, 4, 4)] * count).kernels
        in_order = sorted(groups(clusters.depth_bins(kernels, num_bins)))
        sizes = list(map(len, in_order))
        assert len(in_order) == min(count, num_bins)
        assert max(sizes) - min(sizes) <= 1
        assert sum(in_order, ()) == tuple(range(count))
