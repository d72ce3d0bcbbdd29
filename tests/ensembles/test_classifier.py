import functools

import keras
import numpy as np
import pytest

from keras_superweights import metrics as numpy_metrics
from keras_superweights.ensembles.classifier import Diversity
from keras_superweights.ensembles.classifier import MemberMetrics
from keras_superweights.ensembles.classifier import check_loss
from keras_superweights.ensembles.classifier import log_mean_probabilities


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


OF_PROBABILITIES = {
    "binary_crossentropy": "BinaryCrossentropy",
    "binary_focal_crossentropy": "BinaryFocalCrossentropy",
    "categorical_crossentropy": "CategoricalCrossentropy",
    "categorical_focal_crossentropy": "CategoricalFocalCrossentropy",
    "sparse_categorical_crossentropy": "SparseCategoricalCrossentropy",
}


@pytest.mark.parametrize(("function", "loss"), OF_PROBABILITIES.items())
def test_a_loss_of_probabilities_is_refused_however_it_is_given(function, loss):
    given = [
        function,
        loss,
        getattr(keras.losses, function),
        getattr(keras.losses, loss)(),
        functools.partial(getattr(keras.losses, function), from_logits=False),
    ]
    for each in given:
        with pytest.raises(ValueError, match=r"Sparse.*\(from_logits=True\)"):
            check_loss(each)
    check_loss(getattr(keras.losses, loss)(from_logits=True))
    check_loss(
        functools.partial(getattr(keras.losses, function), from_logits=True)
    )


def test_losses_that_do_not_say_what_they_take_pass():
    class Squares(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return keras.ops.mean((y_true - y_pred) ** 2, axis=-1)

    for loss in (
        None,
        "mse",
        keras.losses.Huber(),
        Squares(),
        lambda y_true, y_pred: y_pred[:, 0],
        lambda y_true, y_pred, from_logits=True: y_pred[:, 0],
    ):
        check_loss(loss)


@pytest.mark.parametrize("losses", [{"a": "mse"}, ["mse"], ("mse", "mae")])
def test_several_losses_are_refused(losses):
    with pytest.raises(ValueError, match="`loss` must be one.*Received: loss="):
        check_loss(losses)


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
        "diversity",
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
            # Of 5 examples, they differ on the 4 that only the second misses.
            "diversity": 1.0,
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
)
def test_a_metric_may_be_a_name_a_function_or_an_object(metric):
    metrics = MemberMetrics(2, [metric])
    output = np.eye(2)[[0, 0]]
    metrics.update(np.array([0, 1]), [output, output], [0.0, 0.0])
    assert float(metrics.all[1].result()) == 0.5
    assert metrics.all[1].name.startswith("member_0_")


def test_no_metrics_leave_the_losses():
    names = [metric.name for metric in MemberMetrics(3, None).all]
    assert names == [*(f"member_{m}_loss" for m in range(3)), "diversity"]


def test_metrics_in_a_dict_are_refused():
    with pytest.raises(ValueError, match="must be a list"):
        MemberMetrics(2, {"head": ["accuracy"]})


def random_batches(draw):
    """Batches of `(labels, logits of each member)` of one random case."""
    members, classes = draw.integers(2, 5), draw.integers(2, 4)
    return [
        (
            draw.integers(0, classes, size),
            draw.normal(size=(members, size, classes)),
        )
        for size in draw.integers(1, 7, draw.integers(1, 4))
    ]


LABELS = {
    "integer": lambda labels, classes: labels,
    "column": lambda labels, classes: labels[:, None].astype("uint8"),
    "one_hot": lambda labels, classes: np.eye(classes, dtype="f4")[labels],
    "smoothed": lambda labels, classes: 0.9 * np.eye(classes)[labels] + 0.05,
}


@pytest.mark.parametrize("labels_as", LABELS)
def test_diversity_in_batches_is_the_diversity_of_the_whole(labels_as):
    defined = 0
    for seed in range(30):
        batches = random_batches(np.random.default_rng(seed))
        labels = np.concatenate([y for y, _ in batches])
        logits = np.concatenate([each for _, each in batches], axis=1)
        probabilities = [softmax(each) for each in logits]
        expected = numpy_metrics.diversity(probabilities, labels)
        metric = Diversity(len(logits))
        for y, outputs in batches:
            y = LABELS[labels_as](y, logits.shape[-1])
            metric.update_state(y, list(outputs))
        found = float(metric.result())
        if expected is None:
            assert np.isnan(found)
        else:
            defined += 1
            assert found == pytest.approx(expected, rel=1e-5)
    assert defined > 20


def test_a_member_without_errors_is_left_out():
    y = np.array([0, 1, 2, 2])
    right = np.eye(3)[y]
    wrong = np.eye(3)[[0, 1, 2, 0]]
    metric = Diversity(3)
    metric.update_state(y, [right, wrong, wrong])
    # Of the six ordered pairs, four are divided by an error rate of 1/4:
    # (right, wrong) twice, and (wrong, wrong), who agree, twice.
    assert float(metric.result()) == pytest.approx((1 + 1 + 0 + 0) / 4)
    metric.reset_state()
    metric.update_state(y, [right, right, right])
    assert np.isnan(float(metric.result()))


def test_diversity_is_a_metric_like_any_other():
    metric = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(Diversity(3, name="apart"))
    )
    assert (metric.name, metric.num_members) == ("apart", 3)
    with pytest.raises(ValueError, match="at least 2.*num_members=1"):
        Diversity(1)
