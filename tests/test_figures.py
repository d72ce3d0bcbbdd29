import sys

import matplotlib.figure
import numpy as np
import pytest

from keras_superweights import figures
from keras_superweights import metrics
from keras_superweights.allocation import KernelSpec
from keras_superweights.allocation import MemberSpec
from keras_superweights.sharing import Independent
from keras_superweights.sharing import MixtureEnsembles
from keras_superweights.sharing import SuperWeights


def history(num_epochs=5, num_members=2):
    generator = np.random.default_rng(0)
    names = ["loss", "accuracy"]
    names += [f"member_{index}_accuracy" for index in range(num_members)]
    names += [f"val_{name}" for name in names]
    return {
        name: generator.uniform(size=num_epochs).tolist() for name in names
    } | {"learning_rate": [0.1] * num_epochs}


def legend_of(owner):
    """Returns the label of every legend entry."""
    legend = getattr(owner, "legends", None) or [owner.get_legend()]
    return [text.get_text() for text in legend[0].get_texts()]


def line(axis, label):
    (found,) = [x for x in axis.get_lines() if x.get_label() == label]
    return found


def overlaps(figure):
    """Returns pairs of texts of the drawn figure that cover each other."""
    figure.canvas.draw()
    texts = [
        text
        for text in figure.findobj(matplotlib.text.Text)
        if text.get_visible() and text.get_text().strip()
    ]
    boxes = [(t.get_text(), t.get_window_extent()) for t in texts]
    return [
        (first, second)
        for index, (first, a) in enumerate(boxes)
        for second, b in boxes[index + 1 :]
        if a.overlaps(b)
    ]


def test_training_curves_show_every_series_over_its_epochs():
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


def test_members_are_in_the_order_of_their_numbers():
    _, axis = figures.training_curves(history(num_members=11)).axes
    subjects = [label.split(",")[0] for label in legend_of(axis)[::2]]
    members = [f"member {index}" for index in range(11)]
    assert subjects == ["ensemble", *members]


def test_a_single_network_without_validation():
    figure = figures.training_curves({"loss": [2.0, 1.0]})
    (axis,) = figure.axes
    assert legend_of(axis) == ["training"]
    np.testing.assert_array_equal(axis.get_lines()[0].get_ydata(), [2.0, 1.0])


def test_a_history_that_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match=r"'loss'.*\['lr'\]"):
        figures.training_curves({"lr": [0.1]})
    with pytest.raises(ValueError, match="'val_loss': 1"):
        figures.training_curves({"loss": [2.0, 1.0], "val_loss": [1.0]})
    with pytest.raises(ValueError, match="one number per epoch"):
        figures.training_curves({"loss": []})


def test_reliability_shows_the_bins_and_the_error():
    generator = np.random.default_rng(1)
    logits = generator.normal(size=(1, 200, 4)) * 2
    probabilities = metrics.ensemble_probabilities(logits)
    labels = generator.integers(0, 4, 200)
    figure = figures.reliability(probabilities, labels, num_bins=10)
    above, below = figure.axes
    error = metrics.expected_calibration_error(probabilities, labels, 10)
    assert above.get_title() == f"ECE {100 * error:.2f}% (10 bins)"
    assert above.get_ylabel() == "accuracy (fraction)"
    assert below.get_xlabel() == "confidence"
    assert below.get_ylabel() == "examples\n(fraction)"
    assert set(legend_of(figure)) == {
        "accuracy",
        "calibrated",
        "mean confidence",
    }
    confidences = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    for index in range(10):
        inside = (confidences > index / 10) & (confidences <= (index + 1) / 10)
        height = correct[inside].mean() if inside.any() else 0
        for axis, expected in ((above, height), (below, inside.mean())):
            bar = axis.patches[index]
            assert bar.get_x() == pytest.approx(index / 10)
            assert bar.get_width() == pytest.approx(0.1)
            assert bar.get_height() == pytest.approx(expected)
    marks = line(above, "mean confidence")
    bins = metrics.calibration_bins(probabilities, labels, 10)
    occupied = bins["fraction"] > 0
    np.testing.assert_array_equal(
        marks.get_xdata(), bins["confidence"][occupied]
    )
    np.testing.assert_array_equal(marks.get_ydata(), bins["accuracy"][occupied])
    assert overlaps(figure) == []


def beaten(point, points):
    """Whether another point costs no more and is at least as accurate."""
    return any(
        other is not point
        and other["flops"] <= point["flops"]
        and other["accuracy"] >= point["accuracy"]
        for other in points
    )


@pytest.mark.parametrize("seed", range(10))
def test_the_anytime_curve_joins_what_no_subset_beats(seed):
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
    assert [text.get_text() for text in axis.texts] == [
        str(p["members"][0]) for p in best
    ]


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
    dots = line(axis, "subset of the members")
    np.testing.assert_array_equal(dots.get_xdata(), [2.5, 7.5])
    assert [text.get_text() for text in axis.texts] == ["0"]


def test_the_interpolation_curve_shows_every_point():
    points = [
        {"position": position, "accuracy": accuracy}
        for position, accuracy in [(0.0, 1.0), (0.5, 0.0), (1.0, 0.9)]
    ]
    figure = figures.interpolation_curve(points)
    (axis,) = figure.axes
    assert axis.get_ylabel() == "accuracy (fraction)"
    assert "0: first, 1: second" in axis.get_xlabel()
    np.testing.assert_array_equal(
        axis.get_lines()[0].get_xydata(), [(0, 1), (0.5, 0), (1, 0.9)]
    )
    assert overlaps(figure) == []
    with pytest.raises(ValueError, match="two members.*1 points"):
        figures.interpolation_curve(points[:1])


def test_an_empty_anytime_curve_is_refused():
    with pytest.raises(ValueError, match="at least one subset"):
        figures.anytime_curve([])


def test_figures_can_be_saved_and_leave_pyplot_alone(tmp_path):
    loaded = "matplotlib.pyplot" in sys.modules
    figures.training_curves(history()).savefig(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 1000
    assert ("matplotlib.pyplot" in sys.modules) == loaded


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
        names = [label.get_text() for label in axis.get_yticklabels()]
        assert names[: len(allocation.banks)] == [
            bank.name for bank in allocation.banks
        ]
        assert f"{allocation.budget_params:,}" in axis.get_title()
