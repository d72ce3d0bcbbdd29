"""How much depends on a value: accuracies over it, all anytime curves."""

import numpy as np
import pytest

from keras_superweights import figures
from keras_superweights.metrics import pareto_frontier


def runs(labels, num_members=2, seed=0):
    draw = np.random.default_rng(seed)
    return [
        {
            "label": label,
            "accuracy": float(draw.uniform(0.8, 1.0)),
            "members": [
                {"name": f"net_{index}", "accuracy": float(draw.uniform())}
                for index in range(num_members)
            ],
            "anytime": [
                {
                    "members": [index],
                    "flops": int(draw.integers(1, 9) * 10**6),
                    "accuracy": float(draw.uniform()),
                }
                for index in range(2**num_members - 1)
            ],
        }
        for label in labels
    ]


def test_ensemble_and_members_are_drawn_over_the_values(
    line, legend_of, texts, overlaps
):
    data = runs(["shared", "0.1", "0.5\nin force: 0.05", "1"])
    figure = figures.sensitivity_curves(data, "beta")
    left, right = figure.axes
    assert left.get_xlabel() == "beta"
    assert left.get_ylabel() == "accuracy (fraction)"
    assert texts(left.get_xticklabels()) == [run["label"] for run in data]
    assert legend_of(left) == ["net_0", "net_1", "ensemble"]
    np.testing.assert_array_equal(
        line(left, "ensemble").get_ydata(), [run["accuracy"] for run in data]
    )
    for index in range(2):
        np.testing.assert_array_equal(
            line(left, f"net_{index}").get_ydata(),
            [run["members"][index]["accuracy"] for run in data],
        )
    assert overlaps(figure) == []


def test_all_anytime_curves_are_in_one_picture(line, legend_of):
    data = runs(["-1", "0.5\nin force: 0.05", "1"], num_members=3)
    _, right = figures.sensitivity_curves(data, "tau").axes
    assert right.get_xlabel() == "cost of one example (MFLOPs)"
    assert right.get_ylabel() == "accuracy (fraction)"
    labels = ["-1", "0.5 in force: 0.05", "1"]
    assert legend_of(right) == labels
    assert right.get_legend().get_title().get_text() == "tau"
    for run, label in zip(data, labels, strict=True):
        np.testing.assert_array_equal(
            line(right, label).get_xydata(),
            [
                (point["flops"] / 1e6, point["accuracy"])
                for point in pareto_frontier(run["anytime"])
            ],
        )
    colors = {line(right, label).get_color() for label in labels}
    assert len(colors) == 3


def test_a_single_run_of_one_network(legend_of):
    figure = figures.sensitivity_curves(runs(["0.1"], num_members=1), "tau")
    assert legend_of(figure.axes[0]) == ["net_0", "network"]


@pytest.mark.parametrize(
    "data", [[], runs(["a"], 2) + runs(["b"], 3)], ids=["none", "unequal"]
)
def test_runs_that_cannot_be_compared_are_refused(data):
    with pytest.raises(ValueError, match="`runs` must hold"):
        figures.sensitivity_curves(data, "tau")
