"""Accuracies and anytime curves of runs that differ in one value."""

import numpy as np
import pytest

from keras_superweights import figures
from keras_superweights.metrics import pareto_frontier
from tests.figures.reading import legend_of
from tests.figures.reading import line
from tests.figures.reading import overlaps
from tests.figures.reading import shows
from tests.figures.reading import texts


def runs(labels, num_members=2):
    draw = np.random.default_rng(0)

    def measured(**described):
        return described | {"accuracy": float(draw.uniform(0.8, 1.0))}

    return [
        measured(
            label=label,
            members=[measured(name=f"net_{i}") for i in range(num_members)],
            anytime=[
                measured(members=[i], flops=int(draw.integers(1, 9) * 10**6))
                for i in range(2**num_members - 1)
            ],
        )
        for label in labels
    ]


def test_accuracies_and_anytime_curves_are_drawn_by_value():
    data = runs(["shared", "0.1", "0.5\nin force: 0.05", "1"])
    figure = figures.sensitivity_curves(data, "beta")
    left, right = figure.axes
    assert overlaps(figure) == []
    for axis in (left, right):
        assert axis.get_ylabel() == "accuracy (fraction)"

    assert left.get_xlabel() == "beta"
    assert texts(left.get_xticklabels()) == [run["label"] for run in data]
    assert legend_of(left) == ["net_0", "net_1", "ensemble"]
    accuracies = [
        [result["accuracy"] for result in (*run["members"], run)]
        for run in data
    ]
    for label, values in zip(
        legend_of(left), np.transpose(accuracies), strict=True
    ):
        shows(left, label, list(enumerate(values)))

    assert right.get_xlabel() == "cost of one example (MFLOPs)"
    labels = ["shared", "0.1", "0.5 in force: 0.05", "1"]
    assert legend_of(right) == labels
    assert right.get_legend().get_title().get_text() == "beta"
    for run, label in zip(data, labels, strict=True):
        best = pareto_frontier(run["anytime"])
        places = [(p["flops"] / 1e6, p["accuracy"]) for p in best]
        shows(right, label, places)
    assert len({line(right, label).get_color() for label in labels}) == 4


def test_a_single_run_of_one_network():
    figure = figures.sensitivity_curves(runs(["0.1"], num_members=1), "tau")
    assert legend_of(figure.axes[0]) == ["net_0", "network"]


@pytest.mark.parametrize(
    "data", [[], runs(["a"], 2) + runs(["b"], 3)], ids=["none", "unequal"]
)
def test_runs_that_cannot_be_compared_are_refused(data):
    with pytest.raises(ValueError, match="`runs` must hold"):
        figures.sensitivity_curves(data, "tau")
