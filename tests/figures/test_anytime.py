"""The anytime curve: positions and labels of the subsets."""

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
    ("cost", "scale", "unit"),
    [
        ("flops", 1, "FLOPs"),
        ("flops", 10**6, "MFLOPs"),
        ("flops", 10**9, "GFLOPs"),
        ("milliseconds", 1, "milliseconds"),
    ],
)
def test_cost_has_a_readable_unit(cost, scale, unit):
    points = [
        {"members": members, "flops": 9, "accuracy": value / 10}
        | {cost: value * scale}
        for members, value in (([0, 2], 5), ([1], 4))
    ]
    (axis,) = figures.anytime_curve(points, cost).axes
    assert axis.get_xlabel() == f"cost of one example ({unit})"
    shows(axis, "subset of the members", [(5, 0.5), (4, 0.4)])
    # With room, all subsets are labelled.
    assert labels_of(axis) == {"0+2": (5, 0.5), "1": (4, 0.4)}


def test_only_the_best_of_many_subsets_are_labelled():
    draw = np.random.default_rng(0)
    points = points_of(draw.integers(1, 9, 31), draw.permutation(31) / 31)
    (axis,) = figures.anytime_curve(points).axes
    assert labels_of(axis).keys() == {
        str(point["members"][0])
        for point in points
        if not beaten(point, points, "flops")
    }


def test_an_empty_anytime_curve_is_refused():
    with pytest.raises(ValueError, match="at least one subset"):
        figures.anytime_curve([])
