"""Classifiers of examples, pixels and tokens."""

import functools

import keras
import numpy as np
import pytest
from keras import layers

import keras_superweights as ksw
from keras_superweights.ensembles import Classifier
from tests.ensembles import cases

KIND = Classifier()


@pytest.mark.parametrize("members", [1, 2, 5])
@pytest.mark.parametrize("scale", [1.0, 50.0])
def test_probabilities_are_averaged(members, scale):
    draw = np.random.default_rng(0)
    logits = [
        (scale * draw.normal(size=(7, 4))).astype("float32")
        for _ in range(members)
    ]
    expected = np.mean([cases.softmax(each) for each in logits], axis=0)
    found = np.array(KIND.prediction(logits))
    np.testing.assert_allclose(np.exp(found), expected, atol=1e-5)
    # Log-probabilities: their softmax is the average itself.
    np.testing.assert_allclose(cases.softmax(found), expected, atol=1e-5)


def test_extreme_logits_stay_finite():
    logits = [np.array([[1e4, -1e4]]), np.array([[-1e4, 1e4]])]
    logits = [each.astype("float32") for each in logits]
    found = np.array(KIND.prediction(logits))
    np.testing.assert_allclose(found, np.log([[0.5, 0.5]]), atol=1e-6)


OF_PROBABILITIES = {
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
            KIND.check_loss(each)
    KIND.check_loss(getattr(keras.losses, loss)(from_logits=True))
    KIND.check_loss(
        functools.partial(getattr(keras.losses, function), from_logits=True)
    )


def test_a_function_of_probabilities_is_refused():
    with pytest.raises(ValueError, match="from_logits=False"):
        KIND.check_loss(lambda y_true, y_pred, from_logits=False: y_pred)
    KIND.check_loss(lambda y_true, y_pred, from_logits=True: y_pred)


@pytest.mark.parametrize(
    "metric",
    [
        "sparse_categorical_crossentropy",
        keras.metrics.CategoricalCrossentropy(),
        keras.metrics.AUC(),
        keras.metrics.Precision(),
        keras.metrics.F1Score(threshold=0.5),
        keras.metrics.PrecisionAtRecall(0.5),
    ],
)
def test_metrics_of_probabilities_are_refused(metric):
    with pytest.raises(ValueError, match="`metrics`.*must take logits"):
        KIND.checked_metrics(["accuracy", metric])


def test_metrics_of_logits_or_of_the_largest_pass():
    metrics = [
        "accuracy",
        keras.metrics.sparse_categorical_accuracy,
        keras.metrics.SparseTopKCategoricalAccuracy(2),
        keras.metrics.CategoricalCrossentropy(from_logits=True),
        keras.metrics.AUC(from_logits=True),
        keras.metrics.Precision(top_k=1),
        keras.metrics.F1Score(),
        keras.metrics.MeanIoU(3, sparse_y_pred=False),
    ]
    assert KIND.checked_metrics(metrics) == metrics


def test_f1_counts_a_class_that_is_certain():
    """Keras reads its log-probability, 0, as a class left out."""
    y = np.eye(3, dtype="float32")
    certain = KIND.prediction([1000 * y, 1000 * y])
    assert float(np.max(certain)) == 0
    metric = keras.metrics.F1Score(average="macro")
    metric.update_state(y, KIND.observed(certain))
    assert float(metric.result()) == pytest.approx(1)


def test_segmentation_is_evaluated_pixel_by_pixel():
    plain, x, y, logs = cases.CASES["classifier of pixels"].evaluated()
    members = [cases.softmax(np.array(member(x))) for member in plain]
    mean = np.mean(members, axis=0)
    found = mean.argmax(-1)
    losses = [-np.log(mean[place][y[place]]) for place in np.ndindex(y.shape)]
    ious = []
    for label in range(3):
        both = np.sum((found == label) & (y == label))
        ious.append(both / np.sum((found == label) | (y == label)))
    assert logs["accuracy"] == pytest.approx(np.mean(found == y))
    assert logs["loss"] == pytest.approx(np.mean(losses), abs=1e-5)
    assert logs["iou"] == pytest.approx(np.mean(ious), abs=1e-5)
    for index, each in enumerate(members):
        right = np.mean(each.argmax(-1) == y)
        assert logs[f"member_{index}_accuracy"] == pytest.approx(right)


def test_a_mask_is_left_out_of_losses_and_diversity():
    plain, x, y, logs = cases.CASES["classifier of tokens"].evaluated(8)
    counted = x != 0
    assert 0 < np.mean(counted) < 1
    members = [cases.softmax(np.array(member(x))) for member in plain]

    def loss(probabilities):
        chosen = np.take_along_axis(probabilities, y[..., None], axis=-1)
        return -np.log(chosen[..., 0])[counted].mean()

    assert logs["loss"] == pytest.approx(loss(np.mean(members, 0)), abs=1e-5)
    for index, each in enumerate(members):
        assert logs[f"member_{index}_loss"] == pytest.approx(
            loss(each), abs=1e-5
        )
    expected = ksw.metrics.diversity(
        [each[counted] for each in members], y[counted]
    )
    assert logs["diversity"] == pytest.approx(expected, rel=1e-4)


def test_a_position_counts_if_it_does_for_every_member():
    def member(mask_zero):
        inputs = keras.Input((5,), dtype="int32")
        x = layers.Embedding(6, 4, mask_zero=mask_zero)(inputs)
        return keras.Model(inputs, layers.Dense(3)(layers.Dense(4)(x)))

    network = ksw.SuperWeightNetwork([member(False), member(True)])
    x = np.array([[1, 2, 0, 0, 3]])
    np.testing.assert_array_equal(network(x)._keras_mask, x != 0)


def test_inside_a_model_the_mask_reaches_its_loss():
    case = cases.CASES["classifier of tokens"]
    network = case.network()
    inputs = keras.Input((5,), dtype="int32")
    outer = keras.Model(inputs, network(inputs))
    outer.compile(loss=cases.sparse_crossentropy(), run_eagerly=True)
    x, y = case.batch()
    expected = case.compiled(network).evaluate(x, y, verbose=0)[0]
    assert outer.evaluate(x, y, verbose=0) == pytest.approx(expected, abs=1e-5)
