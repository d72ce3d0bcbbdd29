"""Binary and multi-label classification."""

import keras
import numpy as np
import pytest

import keras_superweights as ksw
from keras_superweights.ensembles import MultiLabel
from tests.ensembles.cases import CASES

KIND = MultiLabel()


def sigmoid(logits):
    return 1 / (1 + np.exp(-np.asarray(logits, "float64")))


@pytest.mark.parametrize("shape", [(7, 1), (7, 3), (2, 3, 4, 2)], ids=str)
def test_probabilities_are_averaged(shape):
    draw = np.random.default_rng(0)
    logits = (3 * draw.normal(size=(3, *shape))).astype("float32")
    mean = sigmoid(logits).mean(axis=0)
    found = KIND.prediction(list(logits))
    np.testing.assert_allclose(found, np.log(mean / (1 - mean)), atol=1e-4)
    np.testing.assert_allclose(KIND.observed(found), mean, atol=1e-5)


@pytest.mark.parametrize(
    ("logits", "expected"),
    [
        ([1000, 1000], 1000),
        ([-1000, -1000], -1000),
        ([1000, -1000], 0),
        ([1000, 1000, -1000], np.log(2)),
        # p = 1/2 + sigmoid(-1000) / 2, and sigmoid(-1000) is nothing.
        ([0, -1000], np.log(0.25 / 0.75)),
    ],
)
def test_extreme_logits_stay_finite(logits, expected):
    found = KIND.prediction([np.array([[z]], "float32") for z in logits])
    np.testing.assert_allclose(found, [[expected]], rtol=1e-5, atol=1e-5)


def test_evaluation_equals_numpy():
    plain, x, y, logs = CASES["multi-label"].evaluated()
    members = [sigmoid(member(x)) for member in plain]
    answers = {f"member_{i}_": each for i, each in enumerate(members)}
    for prefix, p in {"": np.mean(members, axis=0), **answers}.items():
        loss = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
        accuracy = np.mean((p > 0.5) == y)
        assert logs[f"{prefix}loss"] == pytest.approx(loss, abs=1e-5)
        assert logs[f"{prefix}accuracy"] == pytest.approx(accuracy)
    # As of a classifier of two classes, with each label as an example.
    classes = [np.stack([1 - p.ravel(), p.ravel()], axis=-1) for p in members]
    expected = ksw.metrics.diversity(classes, y.ravel().astype(int))
    assert logs["diversity"] == pytest.approx(expected, rel=1e-5)


def test_binary_labels_may_be_a_vector():
    case = CASES["binary"]
    network = case.compiled(case.network())
    x, y = case.batch()
    expected = network.evaluate(x, y, verbose=0)
    for labels in (y[:, 0], y.astype(int)):
        found = network.evaluate(x, labels, verbose=0)
        assert found == pytest.approx(expected)


def test_losses_of_probabilities_are_refused():
    remedy = r"has from_logits=False.*BinaryCrossentropy\(from_logits=True\)"
    for loss in ("binary_crossentropy", keras.losses.BinaryCrossentropy()):
        with pytest.raises(ValueError, match=remedy):
            KIND.check_loss(loss)


def test_metrics_see_probabilities():
    with pytest.raises(ValueError, match="must take probabilities"):
        KIND.checked_metrics([keras.metrics.AUC(from_logits=True)])
    given = [keras.metrics.AUC(), keras.metrics.binary_accuracy]
    found = KIND.checked_metrics(["accuracy", *given])
    assert found[1:] == given
    assert isinstance(found[0], keras.metrics.BinaryAccuracy)
    assert KIND.checked_metrics(None) is None
