import keras
import numpy as np
import pytest

from keras_superweights.ensemble import MemberMetrics
from keras_superweights.ensemble import log_mean_probabilities


def softmax(logits):
    logits = logits.astype("float64")
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("members", [1, 2, 5])
@pytest.mark.parametrize("scale", [1.0, 50.0])
def test_probabilities_are_averaged(members, scale):
    draw = np.random.default_rng(0)
    logits = [
        (scale * draw.normal(size=(7, 4))).astype("float32")
        for _ in range(members)
    ]
    expected = np.mean([softmax(each) for each in logits], axis=0)
    found = np.array(log_mean_probabilities(logits))
    np.testing.assert_allclose(np.exp(found), expected, atol=1e-5)
    # Log-probabilities: their softmax is the average itself.
    np.testing.assert_allclose(softmax(found), expected, atol=1e-5)


def test_extreme_logits_stay_finite():
    logits = [np.array([[1e4, -1e4]]), np.array([[-1e4, 1e4]])]
    logits = [each.astype("float32") for each in logits]
    found = np.array(log_mean_probabilities(logits))
    np.testing.assert_allclose(found, np.log([[0.5, 0.5]]), atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_narrow_logits_are_averaged_in_float32(dtype):
    logits = keras.ops.cast(np.ones((2, 3)), dtype)
    found = log_mean_probabilities([logits, logits])
    assert keras.backend.standardize_dtype(found.dtype) == "float32"


def test_every_member_has_a_loss_and_a_copy_of_every_metric():
    metrics = MemberMetrics(
        2,
        ["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2, name="k")],
    )
    assert [metric.name for metric in metrics.all] == [
        "member_0_loss",
        "member_0_accuracy",
        "member_0_k",
        "member_1_loss",
        "member_1_accuracy",
        "member_1_k",
    ]
    y = np.array([0, 1, 2, 2])
    right = 5.0 * np.eye(3, dtype="float32")[y]
    wrong = 5.0 * np.eye(3, dtype="float32")[(y + 1) % 3] + 0.4 * right
    metrics.update(y, [right, wrong], [1.0, 3.0])
    metrics.update(y[:1], [right[:1], right[:1]], [2.0, 8.0])
    values = {m.name: float(m.result()) for m in metrics.all}
    assert values == pytest.approx(
        {
            "member_0_loss": (4 * 1.0 + 2.0) / 5,
            "member_0_accuracy": 1.0,
            "member_0_k": 1.0,
            "member_1_loss": (4 * 3.0 + 8.0) / 5,
            "member_1_accuracy": 0.2,
            "member_1_k": 1.0,
        }
    )


@pytest.mark.parametrize(
    "metric",
    [
        "accuracy",
        "acc",
        "sparse_categorical_accuracy",
        keras.metrics.sparse_categorical_accuracy,
        keras.metrics.SparseCategoricalAccuracy(),
    ],
    ids=repr,
)
def test_a_metric_may_be_a_name_a_function_or_an_object(metric):
    metrics = MemberMetrics(1, [metric])
    metrics.update(np.array([0, 1]), [np.eye(2)[[0, 0]]], [0.0])
    assert float(metrics.all[1].result()) == 0.5
    assert metrics.all[1].name.startswith("member_0_")


def test_no_metrics_leave_the_losses():
    assert len(MemberMetrics(3, None).all) == 3


def test_metrics_in_a_dict_are_refused():
    with pytest.raises(ValueError, match="must be a list"):
        MemberMetrics(2, {"head": ["accuracy"]})
