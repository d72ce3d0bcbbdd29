"""Losses and metrics of every member."""

import keras
import numpy as np
import pytest

from keras_superweights.ensembles import Diversity
from keras_superweights.ensembles.member_metrics import MemberMetrics


def metrics_of(num_members, metrics):
    return MemberMetrics(num_members, metrics, [Diversity(num_members)])


def test_every_member_has_a_loss_and_a_copy_of_every_metric():
    metrics = metrics_of(
        2,
        ["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2, name="k")],
    )
    y = np.array([0, 1, 2, 2])
    right = 5.0 * np.eye(3, dtype="float32")[y]
    wrong = 5.0 * np.eye(3, dtype="float32")[(y + 1) % 3] + 0.4 * right
    metrics.update(y, [right, wrong], [1.0, 3.0])
    metrics.update(y[:1], [right[:1], right[:1]], [2.0, 8.0])
    found = {m.name: float(m.result()) for m in metrics.all}
    expected = {
        "member_0_loss": (4 * 1.0 + 2.0) / 5,
        "member_0_accuracy": 1.0,
        "member_0_k": 1.0,
        "member_1_loss": (4 * 3.0 + 8.0) / 5,
        "member_1_accuracy": 0.2,
        "member_1_k": 1.0,
        # Of 5 examples, they differ on the 4 that only the second misses.
        "diversity": 1.0,
    }
    assert found == pytest.approx(expected)
    assert list(found) == list(expected)


@pytest.mark.parametrize(
    "metric",
    [
        "accuracy",
        "acc",
        "sparse_categorical_accuracy",
        keras.metrics.sparse_categorical_accuracy,
        keras.metrics.SparseCategoricalAccuracy(),
    ],
)
def test_a_metric_may_be_a_name_a_function_or_an_object(metric):
    metrics = metrics_of(2, [metric])
    output = np.eye(2)[[0, 0]]
    metrics.update(np.array([0, 1]), [output, output], [0.0, 0.0])
    assert float(metrics.all[1].result()) == 0.5
    assert metrics.all[1].name.startswith("member_0_")


@pytest.mark.parametrize("labels", ["sparse", "column", "one-hot"])
def test_accuracy_fits_the_labels(labels):
    y = np.array([0, 1, 2, 2])
    given = {"sparse": y, "column": y[:, None], "one-hot": np.eye(3)[y]}
    metrics = metrics_of(2, ["accuracy"])
    half = np.eye(3)[[0, 1, 0, 0]]
    metrics.update(given[labels], [half, half], [0.0, 0.0])
    assert float(metrics.all[1].result()) == 0.5


@pytest.mark.parametrize("name", ["mae", "MeanAbsoluteError"])
def test_a_metric_given_by_name_is_reported_by_it(name):
    assert metrics_of(2, [name]).all[1].name == f"member_0_{name}"


def test_no_metrics_leave_the_losses():
    names = [metric.name for metric in metrics_of(3, None).all]
    assert names == [*(f"member_{m}_loss" for m in range(3)), "diversity"]


def test_a_metric_that_waits_for_shapes_is_built_without_a_value():
    metrics = metrics_of(2, [keras.metrics.F1Score()])
    y = np.eye(3, dtype="float32")[[0, 1, 2]]
    metrics.build(y, 2 * y)
    f1_score = metrics.all[1]
    assert f1_score.true_positives.shape == (3,)
    for each in metrics.all:
        assert not any(np.any(v) for v in each.variables)
    metrics.update(y, [y, y], [0.0, 0.0])
    np.testing.assert_allclose(f1_score.result(), 1.0, rtol=1e-5)
