"""Calibration, interpolation and corruptions: figures show their data."""

import numpy as np
import pytest

from keras_superweights import figures
from keras_superweights import metrics
from tests.figures import reading


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
    assert set(reading.legend_of(figure)) == {
        "accuracy",
        "calibrated",
        "mean confidence",
    }
    confidences = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    marks = []
    for index in range(10):
        inside = (confidences > index / 10) & (confidences <= (index + 1) / 10)
        height = correct[inside].mean() if inside.any() else 0
        if inside.any():
            marks.append((confidences[inside].mean(), height))
        for axis, expected in ((above, height), (below, inside.mean())):
            bar = axis.patches[index]
            assert bar.get_x() == pytest.approx(index / 10)
            assert bar.get_width() == pytest.approx(0.1)
            assert bar.get_height() == pytest.approx(expected)
    np.testing.assert_allclose(
        reading.line(above, "mean confidence").get_xydata(), marks
    )
    assert reading.overlaps(figure) == []


def test_the_interpolation_curve_shows_every_point():
    rows = [(0.0, 1.0, 0.1), (0.5, 0.0, 7.0), (1.0, 0.9, 0.2)]
    names = ("position", "accuracy", "nll")
    points = [dict(zip(names, row, strict=True)) for row in rows]
    figure = figures.interpolation_curve(points, "member 3", "member 5")
    labels = ("accuracy (fraction)", "NLL (nats)")
    for axis, metric, label in zip(figure.axes, names[1:], labels, strict=True):
        assert axis.get_ylabel() == label
        assert "0: member 3, 1: member 5" in axis.get_xlabel()
        np.testing.assert_array_equal(
            axis.get_lines()[0].get_xydata(),
            [(point["position"], point[metric]) for point in points],
        )
    assert reading.overlaps(figure) == []
    with pytest.raises(ValueError, match="two members.*1 points"):
        figures.interpolation_curve(points[:1])


@pytest.mark.parametrize("num_members", [1, 3])
def test_corruption_curves_are_means_by_severity(num_members):
    names = ["shot_noise", "fog"]
    report = reading.corruption_report(names, [5, 1, 3], num_members)
    rows = report["corruptions"]
    each, *both = figures.corruption_curves(report).axes
    for name in names:
        of_name = [row for row in rows if row["corruption"] == name]
        places = sorted((row["severity"], row["accuracy"]) for row in of_name)
        reading.shows(each, name.replace("_", " "), places)
    curves = {f"member {i}": i for i in range(num_members)} | {"ensemble": None}
    if num_members == 1:
        curves = {"network": None}
    for axis, metric in zip(both, ("accuracy", "nll"), strict=True):
        assert reading.legend_of(axis) == list(curves)
        for label, member in curves.items():
            expected = []
            for severity in (1, 3, 5):
                found = [r for r in rows if r["severity"] == severity]
                if member is not None:
                    found = [r["members"][member] for r in found]
                expected.append([severity, np.mean([r[metric] for r in found])])
            np.testing.assert_allclose(
                reading.line(axis, label).get_xydata(), expected
            )
