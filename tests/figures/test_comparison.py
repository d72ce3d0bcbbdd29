"""Methods side by side."""

import numpy as np
import pytest

from keras_superweights import figures


def point(method, parameters, accuracy):
    return {
        "method": method,
        "parameters": [parameters] * len(accuracy),
        "flops": [10 * parameters] * len(accuracy),
        "accuracy": accuracy,
        "nll": [1 - each for each in accuracy],
    }


def test_marks_are_means_and_bars_deviations():
    points = [
        point("shared", 3_000_000, [0.8, 0.9]),
        point("shared", 1_000_000, [0.6, 0.7]),
        point("one", 2_000_000, [0.5]),
    ]
    figure = figures.comparison(points)
    accuracy, _, nll, over_flops = figure.axes
    (line, *_) = accuracy.containers[0]
    # By ascending cost.
    assert list(line.get_xdata()) == [1e6, 3e6]
    assert list(line.get_ydata()) == pytest.approx([0.65, 0.85])
    line, _, (bars,) = nll.containers[0]
    lower, upper = bars.get_segments()[0][:, 1]
    np.testing.assert_allclose(upper - lower, 2 * np.std([0.6, 0.7], ddof=1))
    assert list(line.get_ydata()) == pytest.approx([0.35, 0.15])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "shared",
        "one",
    ]
    assert accuracy.get_ylabel() == "accuracy (fraction)"
    assert nll.get_xlabel() == "trained parameters"
    assert over_flops.get_xlabel() == "cost of one example (MFLOPs)"


def test_no_method_is_refused():
    with pytest.raises(ValueError, match="`points`.*at least one"):
        figures.comparison([])
