"""The anytime curve: every subset where it belongs, and what it is."""

import itertools

import numpy as np
import pytest

from keras_superweights import figures


def labels_of(axis):
    """The point that each label stands at."""
    return {text.get_text(): text.xy for text in axis.texts}


def beaten(point, points):
    """Whether another point costs no more and is at least as accurate."""
    return any(
        other is not point
        and other["flops"] <= point["flops"]
        and other["accuracy"] >= point["accuracy"]
        for other in points
    )


@pytest.mark.parametrize("seed", range(10))
def test_the_anytime_curve_joins_what_no_subset_beats(seed, legend_of, line):
    generator = np.random.default_rng(seed)
    points = [
        {
            "members": [int(index)],
            "flops": int(flops),
            "accuracy": float(accuracy),
        }
        for index, (flops, accuracy) in enumerate(
            zip(
                generator.integers(1, 9, 12) * 10**6,
                generator.permutation(12) / 12,
                strict=True,
            )
        )
    ]
    figure = figures.anytime_curve(points)
    (axis,) = figure.axes
    assert axis.get_xlabel() == "cost of one example (MFLOPs)"
    assert axis.get_ylabel() == "accuracy (fraction)"
    assert legend_of(figure) == [
        "subset of the members",
        "best within the cost",
    ]
    dots = line(axis, "subset of the members")
    np.testing.assert_array_equal(
        dots.get_xydata(), [(p["flops"] / 1e6, p["accuracy"]) for p in points]
    )
    best = sorted(
        (p for p in points if not beaten(p, points)),
        key=lambda point: point["flops"],
    )
    np.testing.assert_array_equal(
        line(axis, "best within the cost").get_xydata(),
        [(p["flops"] / 1e6, p["accuracy"]) for p in best],
    )
    labels = labels_of(axis)
    for point in best:
        assert labels[str(point["members"][0])] == (
            point["flops"] / 1e6,
            point["accuracy"],
        )


@pytest.mark.parametrize(
    ("flops", "unit"),
    [(5, "FLOPs"), (5 * 10**6, "MFLOPs"), (5 * 10**9, "GFLOPs")],
)
def test_cost_has_a_readable_unit(flops, unit):
    point = {"members": [0, 2], "flops": flops, "accuracy": 0.5}
    (axis,) = figures.anytime_curve([point]).axes
    assert axis.get_xlabel() == f"cost of one example ({unit})"
    assert axis.get_lines()[0].get_xdata()[0] == 5
    assert axis.texts[0].get_text() == "0+2"


def test_the_anytime_curve_can_show_the_time(line):
    points = [
        {"members": [0], "flops": 9, "milliseconds": 2.5, "accuracy": 0.5},
        {"members": [1], "flops": 1, "milliseconds": 7.5, "accuracy": 0.4},
    ]
    (axis,) = figures.anytime_curve(points, cost="milliseconds").axes
    assert axis.get_xlabel() == "cost of one example (milliseconds)"
    dots = line(axis, "subset of the members")
    np.testing.assert_array_equal(dots.get_xdata(), [2.5, 7.5])
    assert labels_of(axis) == {"0": (2.5, 0.5), "1": (7.5, 0.4)}


def subsets(num_members, draw, noise):
    """All subsets of members, more accurate the more they are, and noise."""
    flops = draw.integers(1, 9, num_members) * 10**6
    return [
        {
            "members": list(subset),
            "flops": int(sum(flops[index] for index in subset)),
            "accuracy": 0.5 + 0.1 * len(subset) + noise * draw.uniform(-1, 1),
        }
        for size in range(1, num_members + 1)
        for subset in itertools.combinations(range(num_members), size)
    ]


@pytest.mark.parametrize("seed", range(8))
def test_labels_of_few_subsets_cover_nothing(seed, overlaps):
    points = subsets(4, np.random.default_rng(seed), noise=0.05)
    figure = figures.anytime_curve(points)
    (axis,) = figure.axes
    labels = labels_of(axis)
    assert len(labels) >= 12  # nearly all of 15, and each at its point
    for point in points:
        name = "+".join(map(str, point["members"]))
        expected = (point["flops"] / 1e6, point["accuracy"])
        assert labels.get(name, expected) == expected
        assert name in labels or beaten(point, points)
    assert overlaps(figure) == []
    centers = axis.transData.transform(axis.get_lines()[0].get_xydata())
    for text in axis.texts:
        assert not text.get_window_extent().count_contains(centers)


def test_with_room_all_subsets_are_labelled():
    points = [
        {"members": [0], "flops": 10**6, "accuracy": 0.5},
        {"members": [1], "flops": 3 * 10**6, "accuracy": 0.3},
        {"members": [0, 1], "flops": 4 * 10**6, "accuracy": 0.7},
    ]
    (axis,) = figures.anytime_curve(points).axes
    assert labels_of(axis).keys() == {"0", "1", "0+1"}


def test_of_many_subsets_only_the_best_are_labelled():
    points = subsets(5, np.random.default_rng(0), noise=0.05)
    (axis,) = figures.anytime_curve(points).axes
    best = [point for point in points if not beaten(point, points)]
    assert labels_of(axis).keys() == {
        "+".join(map(str, point["members"])) for point in best
    }


def test_an_empty_anytime_curve_is_refused():
    with pytest.raises(ValueError, match="at least one subset"):
        figures.anytime_curve([])
