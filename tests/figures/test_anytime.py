"""The anytime curve: positions and labels of the subsets."""

import itertools

import numpy as np
import pytest

from keras_superweights import figures
from tests.figures.reading import beaten
from tests.figures.reading import legend_of
from tests.figures.reading import shows


def labels_of(axis):
    """The point that each label stands at."""
    return {text.get_text(): text.xy for text in axis.texts}


def points_of(flops, accuracies):
    return [
        {"members": [index], "flops": int(cost), "accuracy": float(accuracy)}
        for index, (cost, accuracy) in enumerate(
            zip(flops, accuracies, strict=True)
        )
    ]


@pytest.mark.parametrize("seed", range(10))
def test_the_anytime_curve_joins_what_no_subset_beats(seed):
    draw = np.random.default_rng(seed)
    points = points_of(
        draw.integers(1, 9, 12) * 10**6, draw.permutation(12) / 12
    )
    figure = figures.anytime_curve(points)
    (axis,) = figure.axes
    assert axis.get_ylabel() == "accuracy (fraction)"
    legend = ["subset of the members", "best within the cost"]
    assert legend_of(figure) == legend
    places = [(p["flops"] / 1e6, p["accuracy"]) for p in points]
    shows(axis, legend[0], places)
    best = sorted(
        (p["flops"] / 1e6, p["accuracy"], str(p["members"][0]))
        for p in points
        if not beaten(p, points, "flops")
    )
    shows(axis, legend[1], [place for *place, _ in best])
    assert {(*xy, name) for name, xy in labels_of(axis).items()} >= set(best)


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


def test_the_anytime_curve_can_show_the_time():
    points = [
        {"members": [0], "flops": 9, "milliseconds": 2.5, "accuracy": 0.5},
        {"members": [1], "flops": 1, "milliseconds": 7.5, "accuracy": 0.4},
    ]
    (axis,) = figures.anytime_curve(points, cost="milliseconds").axes
    assert axis.get_xlabel() == "cost of one example (milliseconds)"
    shows(axis, "subset of the members", [(2.5, 0.5), (7.5, 0.4)])
    # With room, all subsets are labelled.
    assert labels_of(axis) == {"0": (2.5, 0.5), "1": (7.5, 0.4)}


def test_only_the_best_of_many_subsets_are_labelled():
    draw = np.random.default_rng(0)
    flops = draw.integers(1, 9, 5) * 10**6
    points = [
        {
            "members": list(subset),
            "flops": int(sum(flops[index] for index in subset)),
            "accuracy": 0.5 + 0.1 * len(subset) + 0.05 * draw.uniform(-1, 1),
        }
        for size in range(1, 6)
        for subset in itertools.combinations(range(5), size)
    ]
    (axis,) = figures.anytime_curve(points).axes
    assert labels_of(axis).keys() == {
        "+".join(map(str, point["members"]))
        for point in points
        if not beaten(point, points, "flops")
    }


def test_an_empty_anytime_curve_is_refused():
    with pytest.raises(ValueError, match="at least one subset"):
        figures.anytime_curve([])
