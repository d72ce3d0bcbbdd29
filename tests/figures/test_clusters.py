"""Cells, colours and labels of clusters agree with the allocation."""

import numpy as np
import pytest

from keras_superweights import figures
from keras_superweights import sharing
from keras_superweights.sharing.clusters import Cluster
from tests import builders
from tests.figures.reading import legend_of
from tests.figures.reading import members_of
from tests.figures.reading import right_of
from tests.figures.reading import texts


def row_of(bar):
    return round(bar.get_y() + bar.get_height() / 2)


def test_members_are_rows_of_kernels_in_the_colours_of_their_clusters():
    depths = (3, 5)
    # Not in the order of their first kernels.
    clusters = {0: (2, 4, 6, 7), 1: (1,), 2: (0, 3, 5)}
    allocation = sharing.SuperWeights().allocate_clusters(
        members_of(*depths),
        10**5,
        [Cluster(f"c{n}", k) for n, k in clusters.items()],
    )

    figure = figures.cluster_membership(allocation)

    (axis,) = figure.axes
    assert texts(axis.get_yticklabels()) == ["0: net0", "1: net1"]
    assert axis.yaxis_inverted()
    places = [(m, i) for m, depth in enumerate(depths) for i in range(depth)]
    colors, numbers = {}, {}
    for bar in axis.patches:
        place = (row_of(bar), int(bar.get_x()))
        colors[places.index(place)] = bar.get_facecolor()
    for text in axis.texts:
        x, y = text.get_position()
        numbers[places.index((int(y), int(x)))] = int(text.get_text())
    assert colors.keys() == set(range(8))
    assert numbers == {k: n for n, kernels in clusters.items() for k in kernels}
    for kernels in clusters.values():
        assert len({colors[k] for k in kernels}) == 1
    assert len(set(colors.values())) == 3
    red, green, blue, _ = colors[1]
    assert max(red, green, blue) - min(red, green, blue) < 0.1  # grey
    assert figure.get_suptitle().startswith("2 clusters")
    assert figure.get_suptitle().endswith("\n1 kernel not shared")
    bars = figures.allocation_bars(allocation).axes[0]
    assert texts(bars.get_yticklabels())[:3] == [
        f"cluster {n}: c{n} #0" for n in range(3)
    ]


def test_the_title_lies_inside_the_figure():
    clusters = [Cluster("all", tuple(range(9))), Cluster("one", (9,))]
    allocation = sharing.SuperWeights().allocate_clusters(
        members_of(10), 10**5, clusters
    )
    figure = figures.cluster_membership(allocation)
    figure.canvas.draw()
    title = figure._suptitle.get_window_extent()
    assert title.x0 > 0 and title.x1 < figure.bbox.width


@pytest.mark.parametrize("depths", [(50, 50), (51, 20), (130, 130, 77)])
def test_deep_members_go_on_below_in_colours_of_their_own(depths):
    allocation = sharing.SuperWeights(clusters="position").allocate(
        members_of(*depths), 10**5
    )
    figure = figures.cluster_membership(allocation)
    assert len(figure.axes) == -(-max(depths) // 50)
    drawn = {}
    for axis in figure.axes:
        ticks = texts(axis.get_xticklabels())
        assert len(ticks) <= 50
        for bar in axis.patches:
            place = row_of(bar), int(ticks[round(bar.get_x())])
            drawn[place] = bar.get_facecolor()
    assert sorted(drawn) == [
        (m, i + 1) for m, depth in enumerate(depths) for i in range(depth)
    ]
    assert figure.get_size_inches()[0] * figure.dpi < 1800
    if depths == (50, 50):
        assert len(set(drawn.values())) == 50
        assert len({(i, color) for (_, i), color in drawn.items()}) == 50


@pytest.mark.parametrize("seed", range(8))
def test_the_kernels_of_a_network_say_how_they_read_their_store(seed):
    draw = np.random.default_rng(seed)
    sides = draw.integers(2, 30, 12).tolist()
    layers = [f"{'abc'[i % 3]}{i}" for i in range(12)]
    member = builders.named_member(
        {f"net/{x}": (n, n) for x, n in zip(layers, sides, strict=True)}, 0, 5
    )
    rule = sharing.Shapeshifter(max_templates=4, stores=("*b*", "*a*", "*c*"))
    allocation = rule.allocate([member], int(member.num_params * 0.4))

    figure = figures.cluster_membership(allocation)

    (axis,) = figure.axes
    assert texts(axis.get_yticklabels()) == layers
    numbers = [1, 0, 2] * 4  # of the first pattern that matches
    assert texts(axis.texts) == list(map(str, numbers))
    ways = set()
    for row, side in enumerate(sides):
        store = allocation.banks[numbers[row]].size
        rows = min(store // side**2, 4)
        way, hatch, text = "mixed", "", f"{rows} templates"
        if rows == 1:
            way, hatch, text = "one template", "....", "1 template"
        if rows == 0:
            way, hatch = "upsampled", "////"
            text = f"1 template, upsampled {side**2 / store:.3g} times"
        ways.add(way)
        bar = axis.patches[row]
        assert (bar.get_hatch() or "", right_of(axis)[row]) == (hatch, text)
        assert row_of(bar) == row
    order = ("mixed", "one template", "upsampled")
    assert legend_of(figure) == [way for way in order if way in ways]


def test_one_store_needs_no_numbers():
    member = builders.member(*((3, 3 + i) for i in range(4)), other_params=5)
    allocation = sharing.Shapeshifter().allocate([member], 60)
    figure = figures.cluster_membership(allocation)
    assert "".join(texts(figure.axes[0].texts)) == ""
    assert figure.get_suptitle() == "4 kernels in one cluster, 0"


def test_kernels_that_share_nothing_say_so():
    figure = figures.cluster_membership(
        sharing.Independent().allocate(members_of(3), 10**5)
    )
    assert right_of(figure.axes[0]) == ["not shared"] * 3
    assert figure.get_suptitle() == "3 kernels, none shared"
    assert figure.legends == []


def test_kernels_of_several_superweights_say_how_many():
    small, large = (3, 3, 4, 4), (3, 3, 4, 8)
    allocation = sharing.SuperWeights(depth_bins=1).allocate(
        [builders.member(small, small, large, large)],
        3 * 144 + 2 * 144 + 4 * 3 + 2 * 2,
    )
    counts = [s.num_templates for s in allocation.superweights]
    (axis,) = figures.cluster_membership(allocation).axes
    low, high = sorted(counts)
    assert low < high
    assert (
        right_of(axis)
        == [f"{counts[0]} templates"] * 2
        + [f"2 SuperWeights, {low}-{high} templates"] * 2
    )


def test_a_hard_shared_kernel_is_one_template():
    allocation = sharing.HardSharing().allocate(members_of(4), 10**5)
    (axis,) = figures.cluster_membership(allocation).axes
    shared = {k for cluster in allocation.clusters for k in cluster}
    assert len(shared) > 1
    for kernel, bar in enumerate(axis.patches):
        assert (bar.get_hatch() == "....") == (kernel in shared)


@pytest.mark.parametrize(("depth", "columns"), [(60, 1), (61, 2), (300, 3)])
def test_a_deep_network_goes_on_beside(depth, columns):
    allocation = sharing.Shapeshifter().allocate(members_of(depth), 10**4)
    figure = figures.cluster_membership(allocation)
    assert len(figure.axes) == columns
    names = [n for axis in figure.axes for n in texts(axis.get_yticklabels())]
    assert names == [f"l{i}" for i in range(depth)]
    assert max(figure.get_size_inches()) * figure.dpi < 2000
