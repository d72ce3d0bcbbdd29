"""Curves over the epochs: every series, its colour and its label."""

import numpy as np
import pytest

from keras_superweights import figures
from tests.figures import reading


def history(num_members):
    generator = np.random.default_rng(0)
    names = ["loss", "accuracy"]
    names += [f"member_{index}_accuracy" for index in range(num_members)]
    names += [f"val_{name}" for name in names]
    return {name: generator.uniform(size=5).tolist() for name in names} | {
        "learning_rate": [0.1] * 5
    }


def test_training_curves_show_every_series_over_its_epochs():
    data = history(num_members=12)
    figure = figures.training_curves(data)
    loss, accuracy = figure.axes
    assert [axis.get_xlabel() for axis in figure.axes] == ["epoch"] * 2
    assert loss.get_ylabel() == "loss (per example)"
    assert accuracy.get_ylabel() == "accuracy (fraction)"
    assert reading.legend_of(loss) == ["training", "validation"]
    subjects = {"ensemble": ""}  # then members in the order of their numbers
    subjects |= {f"member {i}": f"member_{i}_" for i in range(12)}
    expected = {
        f"{subject}, {phase}": f"{prefix}{name}accuracy"
        for subject, name in subjects.items()
        for phase, prefix in [("training", ""), ("validation", "val_")]
    }
    assert reading.legend_of(accuracy) == list(expected)
    epochs = range(1, 6)
    for label, name in expected.items():
        reading.shows(accuracy, label, [*zip(epochs, data[name], strict=True)])
    for label, name in (("training", "loss"), ("validation", "val_loss")):
        reading.shows(loss, label, [*zip(epochs, data[name], strict=True)])
    # Training and validation of a member share a colour.
    colors = {}
    for drawn in accuracy.get_lines():
        subject, phase = drawn.get_label().split(", ")
        colors.setdefault(subject, set()).add(drawn.get_color())
        style = {"training": "--", "validation": "-"}[phase]
        assert drawn.get_linestyle() == style
    assert all(len(color) == 1 for color in colors.values())
    assert len({color for (color,) in colors.values()}) == 11


def test_a_single_network_without_validation():
    (axis,) = figures.training_curves({"loss": [2.0, 1.0]}).axes
    assert reading.legend_of(axis) == ["training"]
    reading.shows(axis, "training", [(1, 2.0), (2, 1.0)])


@pytest.mark.parametrize("num_epochs", [3, 10, 200])
@pytest.mark.parametrize("peak", [100.0, 1e6])
def test_a_huge_loss_lies_beyond_the_axis(num_epochs, peak):
    usual = 2.0 - np.arange(num_epochs) / num_epochs
    data = {"loss": usual.tolist(), "val_loss": [peak, *usual[1:]]}
    (axis,) = figures.training_curves(data).axes
    low, high = axis.get_ylim()
    assert low < usual.min() and usual.max() < high < 2.5
    assert axis.get_ylabel() == (
        f"loss (per example)\n1 value beyond the axis, up to {peak:.4g}"
    )
    # The curve is drawn whole.
    assert axis.get_lines()[1].get_ydata()[0] == peak


@pytest.mark.parametrize(
    "losses",
    [
        {"loss": 4.6 * np.exp(-np.arange(100) / 15)},
        {"loss": [2.3, 0.6, 0.5]},
        {"loss": [8.0, 4.0, 3.0], "member_0_loss": [1.0, 0.5, 0.4]},
        {"loss": [7.0]},
        {"loss": [float("nan"), 1.0, 2.0]},
        {"loss": [float("nan")] * 3},
        {"loss": [-50.0, -70.0, -90.0, -10.0]},
    ],
)
def test_usual_losses_are_all_on_the_axis(losses):
    (axis,) = figures.training_curves(losses).axes
    low, high = axis.get_ylim()
    values = np.concatenate([np.ravel(v) for v in losses.values()])
    values = values[np.isfinite(values)]
    assert ((low <= values) & (values <= high)).all()
    assert axis.get_ylabel() == "loss (per example)"


def test_losses_that_are_not_finite_do_not_move_the_axis():
    data = {"loss": [float("inf"), 1.0, 2.0], "val_loss": [400.0, 1.0, 2.0]}
    (axis,) = figures.training_curves(data).axes
    assert axis.get_ylim()[1] < 2.5
    assert "1 value beyond" in axis.get_ylabel()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"lr": [0.1]}, r"'loss'.*\['lr'\]"),
        ({"loss": [2.0, 1.0], "val_loss": [1.0]}, "'val_loss': 1"),
        ({"loss": []}, "one number per epoch"),
    ],
)
def test_a_history_that_cannot_be_drawn_is_refused(data, message):
    with pytest.raises(ValueError, match=message):
        figures.training_curves(data)
