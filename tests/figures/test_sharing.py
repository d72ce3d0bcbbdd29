"""Who shares what: cells, colours and frames against the data given."""

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from keras_superweights import figures
from keras_superweights.allocation import KernelSpec
from keras_superweights.allocation import MemberSpec
from keras_superweights.allocation.clusters import Cluster
from keras_superweights.sharing import Independent
from keras_superweights.sharing import MixtureEnsembles
from keras_superweights.sharing import SuperWeights


def texts(labels):
    return [label.get_text() for label in labels]


def cells(axis):
    """The values of a heat map, as plotted."""
    (image,) = axis.get_images()
    return np.ma.filled(image.get_array().astype(float), np.nan)


def test_the_bars_of_an_allocation_add_up_to_its_parameters():
    kernels = tuple(
        KernelSpec(0, f"layer{index}", (3, 3, 8, 8)) for index in range(3)
    ) + (KernelSpec(0, "wide", (3, 3, 8, 16)),)
    member = MemberSpec("net", kernels, other_params=500)
    for rule in (SuperWeights(depth_bins=2), MixtureEnsembles(), Independent()):
        allocation = rule.allocate([member], 4_000)

        axis = figures.allocation_bars(allocation).axes[0]

        unit = 1_000 if "thousands" in axis.get_xlabel() else 1
        drawn = sum(bar.get_width() for bar in axis.patches) * unit
        assert round(drawn) == allocation.num_params
        names = texts(axis.get_yticklabels())
        assert names[: len(allocation.banks)] == [
            bank.name for bank in allocation.banks
        ]
        assert f"{allocation.budget_params:,}" in axis.get_title()


@pytest.mark.parametrize("seed", range(5))
def test_similarities_are_plotted_group_by_group(seed):
    draw = np.random.default_rng(seed)
    count = draw.integers(2, 12).item()
    similarity = draw.uniform(-1, 1, (count, count))
    names = [f"0: layer{index}" for index in range(count)]
    of_kernel = draw.integers(0, 3, count)
    groups = [tuple(np.flatnonzero(of_kernel == g)) for g in range(3)]
    groups = [group for group in groups if group]
    threshold = draw.uniform(-1, 1)
    figure = figures.similarity_matrix(
        similarity, names, groups, threshold, "Cluster 3"
    )
    axis, bar = figure.axes
    order = np.argsort(of_kernel, kind="stable")
    assert texts(axis.get_yticklabels()) == [names[k] for k in order]
    assert texts(axis.get_xticklabels()) == [names[k] for k in order]
    plotted = cells(axis)
    for row, i in enumerate(order):
        for column, j in enumerate(order):
            assert plotted[row, column] == similarity[i, j]
    assert axis.get_images()[0].get_clim() == (-1, 1)
    frames = [p for p in axis.patches if isinstance(p, Rectangle)]
    assert len(frames) == len(groups)
    labels = texts(axis.get_yticklabels())
    for frame, group in zip(frames, groups, strict=True):
        assert frame.get_xy() == (frame.get_x(), frame.get_x())
        assert frame.get_width() == frame.get_height()
        framed = [
            label
            for place, label in enumerate(labels)
            if frame.get_y() < place < frame.get_y() + frame.get_height()
        ]
        assert framed == [names[k] for k in group]
    (mark,) = [line for line in bar.get_lines() if line.get_color() != "none"]
    np.testing.assert_array_equal(mark.get_ydata(), threshold)
    assert texts(bar.texts) == [f"{threshold:g}"]
    assert bar.get_ylim() == (-1, 1)
    assert axis.get_title() == "Cluster 3"


def test_members_are_rows_of_layers_in_the_colours_of_their_clusters():
    depths = (3, 5)
    members = [
        MemberSpec(
            f"net{member}",
            tuple(
                KernelSpec(member, f"l{i}", (3, 3, 4, 4)) for i in range(depth)
            ),
            other_params=5,
        )
        for member, depth in enumerate(depths)
    ]
    clusters = {0: (0, 3, 5), 1: (1,), 2: (2, 4, 6, 7)}
    allocation = SuperWeights().allocate_clusters(
        members, 10**5, [Cluster(f"c{n}", k) for n, k in clusters.items()]
    )
    assert dict(enumerate(allocation.clusters)) == clusters

    figure = figures.cluster_membership(allocation)

    (axis,) = figure.axes
    names = ["0: net0", "1: net1"]
    assert texts(axis.get_yticklabels()) == names
    assert axis.yaxis_inverted()
    places = [(m, i) for m, depth in enumerate(depths) for i in range(depth)]
    colors, numbers = {}, {}
    for bar in axis.patches:
        center = bar.get_y() + bar.get_height() / 2
        place = (round(center), int(bar.get_x()))
        colors[places.index(place)] = bar.get_facecolor()
    for text in axis.texts:
        x, y = text.get_position()
        numbers[places.index((int(y), int(x)))] = int(text.get_text())
    assert colors.keys() == set(range(8))
    assert numbers == {k: n for n in (0, 2) for k in clusters[n]}
    for kernels in clusters.values():
        assert len({colors[k] for k in kernels}) == 1
    assert len(set(colors.values())) == 3
    red, green, blue, _ = colors[1]
    assert max(red, green, blue) - min(red, green, blue) < 0.1  # grey
    assert figure.get_suptitle().startswith("2 clusters")
    assert figure.get_suptitle().endswith("; 1 layer not shared")


def test_colours_of_many_clusters_are_all_different():
    members = [
        MemberSpec(
            f"net{m}",
            tuple(KernelSpec(m, f"l{i}", (3, 3, 4, 4)) for i in range(60)),
            other_params=5,
        )
        for m in range(2)
    ]
    allocation = SuperWeights(clusters="position").allocate(members, 10**5)
    (axis,) = figures.cluster_membership(allocation).axes
    colors = [bar.get_facecolor() for bar in axis.patches]
    assert colors[:60] == colors[60:]
    assert len(set(colors)) == 60


@pytest.mark.parametrize("seed", range(5))
def test_coefficients_are_plotted_block_by_block(seed):
    draw = np.random.default_rng(seed)
    count = draw.integers(1, 9).item()
    widths = draw.integers(1, 5, draw.integers(1, 4)).tolist()
    blocks = [draw.normal(size=(count, width)) for width in widths]
    if count > 1:
        blocks[-1][0] = np.nan
    names = [f"1: layer{index}" for index in range(count)]

    figure = figures.coefficient_matrix(blocks, names, "Coefficients")

    axis, bar = figure.axes
    plotted = cells(axis)
    start = 0
    for block in blocks:
        stop = start + block.shape[1]
        np.testing.assert_array_equal(plotted[:, start:stop], block)
        start = stop
    assert plotted.shape == (count, start)
    assert texts(axis.get_yticklabels()) == names
    assert texts(axis.get_xticklabels()) == [
        str(number) for width in widths for number in range(width)
    ]
    separators = [line.get_xdata()[0] for line in axis.get_lines()]
    np.testing.assert_array_equal(separators, np.cumsum(widths)[:-1] - 0.5)
    low, high = axis.get_images()[0].get_clim()
    largest = np.nanmax(np.abs(plotted))
    assert (low, high) == pytest.approx((-largest, largest))
    assert bar.get_ylabel() == "coefficient (grey: not used)"
