"""Curves over the epochs: every series, its colour and its label."""

import numpy as np
import pytest

from keras_superweights import figures


def history(num_epochs=5, num_members=2):
    generator = np.random.default_rng(0)
    names = ["loss", "accuracy"]
    names += [f"member_{index}_accuracy" for index in range(num_members)]
    names += [f"val_{name}" for name in names]
    return {
        name: generator.uniform(size=num_epochs).tolist() for name in names
    } | {"learning_rate": [0.1] * num_epochs}


def test_training_curves_show_every_series_over_its_epochs(
    legend_of, line, overlaps
):
    data = history()
    figure = figures.training_curves(data)
    loss, accuracy = figure.axes
    assert [axis.get_xlabel() for axis in figure.axes] == ["epoch"] * 2
    assert loss.get_ylabel() == "loss (per example)"
    assert accuracy.get_ylabel() == "accuracy (fraction)"
    assert legend_of(loss) == ["training", "validation"]
    expected = {
        f"{subject}, {phase}": prefix + name
        for subject, name in [
            ("ensemble", "accuracy"),
            ("member 0", "member_0_accuracy"),
            ("member 1", "member_1_accuracy"),
        ]
        for phase, prefix in [("training", ""), ("validation", "val_")]
    }
    assert legend_of(accuracy) == list(expected)
    for label, name in expected.items():
        drawn = line(accuracy, label)
        np.testing.assert_array_equal(drawn.get_xdata(), [1, 2, 3, 4, 5])
        np.testing.assert_array_equal(drawn.get_ydata(), data[name])
    np.testing.assert_array_equal(
        line(loss, "training").get_ydata(), data["loss"]
    )
    np.testing.assert_array_equal(
        line(loss, "validation").get_ydata(), data["val_loss"]
    )
    assert overlaps(figure) == []


def test_training_and_validation_of_a_member_share_a_colour():
    _, axis = figures.training_curves(history(num_members=12)).axes
    colors = {}
    for drawn in axis.get_lines():
        subject, phase = drawn.get_label().split(", ")
        colors.setdefault(subject, set()).add(drawn.get_color())
        style = {"training": "--", "validation": "-"}[phase]
        assert drawn.get_linestyle() == style
    assert all(len(color) == 1 for color in colors.values())
    assert len({color for (color,) in colors.values()}) == 11


def test_members_are_in_the_order_of_their_numbers(legend_of):
    _, axis = figures.training_curves(history(num_members=11)).axes
    subjects = [label.split(",")[0] for label in legend_of(axis)[::2]]
    members = [f"member {index}" for index in range(11)]
    assert subjects == ["ensemble", *members]


def test_a_single_network_without_validation(legend_of):
    figure = figures.training_curves({"loss": [2.0, 1.0]})
    (axis,) = figure.axes
    assert legend_of(axis) == ["training"]
    np.testing.assert_array_equal(axis.get_lines()[0].get_ydata(), [2.0, 1.0])


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


def test_a_history_that_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match=r"'loss'.*\['lr'\]"):
        figures.training_curves({"lr": [0.1]})
    with pytest.raises(ValueError, match="'val_loss': 1"):
        figures.training_curves({"loss": [2.0, 1.0], "val_loss": [1.0]})
    with pytest.raises(ValueError, match="one number per epoch"):
        figures.training_curves({"loss": []})
