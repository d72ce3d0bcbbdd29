"""Labels that hold or not: the probability of each is averaged."""

import keras
import numpy as np
import pytest

import keras_superweights as ksw
from keras_superweights.ensembles import MultiLabel
from tests.ensembles.cases import CASES
from tests.ensembles.cases import binary_crossentropy
from tests.ensembles.cases import mlp

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
    case = CASES["multi-label"]
    network = case.compiled(case.network())
    x, y = case.batch()
    logs = network.evaluate(x, y, verbose=0, return_dict=True)
    members = [sigmoid(m(x)) for m in network.materialize()]

    def measured(p):
        return {
            "loss": -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)),
            "accuracy": np.mean((p > 0.5) == y),
        }

    everyone = [("", np.mean(members, axis=0))]
    everyone += [(f"member_{i}_", each) for i, each in enumerate(members)]
    for prefix, p in everyone:
        for name, value in measured(p).items():
            assert logs[prefix + name] == pytest.approx(value, abs=1e-5)


def test_diversity_is_of_the_decisions_on_each_label():
    """As that of a classifier of two classes, a label an example."""
    case = CASES["multi-label"]
    network = case.compiled(case.network())
    x, y = case.batch()
    logs = network.evaluate(x, y, verbose=0, return_dict=True)
    classes = []
    for member in network.materialize():
        p = sigmoid(member(x)).ravel()
        classes.append(np.stack([1 - p, p], axis=-1))
    expected = ksw.metrics.diversity(classes, y.ravel().astype(int))
    assert logs["diversity"] == pytest.approx(expected, rel=1e-5)


def test_binary_labels_may_be_a_vector():
    case = CASES["binary"]
    network = case.compiled(case.network())
    x, y = case.batch()
    logs = [
        network.evaluate(x, labels, verbose=0, return_dict=True)
        for labels in (y, y[:, 0], y.astype(int))
    ]
    assert logs[1] == pytest.approx(logs[0])
    assert logs[2] == pytest.approx(logs[0])


def test_binary_labels_are_learned():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(64, 4)).astype("float32")
    y = (x[:, 0] > 0).astype("float32")
    network = ksw.SuperWeightNetwork([mlp(1), mlp(1)], ensemble=KIND)
    network.compile(
        keras.optimizers.Adam(0.05),
        binary_crossentropy(),
        metrics=["accuracy"],
        jit_compile=False,
    )
    network.fit(x, y, epochs=15, verbose=0)
    logs = network.evaluate(x, y, verbose=0, return_dict=True)
    assert logs["accuracy"] > 0.9
    assert logs["accuracy"] == pytest.approx(
        np.mean((network.predict(x, verbose=0)[:, 0] > 0) == y)
    )


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("binary_crossentropy", r"BinaryCrossentropy\(from_logits=True\)"),
        (keras.losses.BinaryCrossentropy(), "has from_logits=False"),
        (
            keras.losses.CategoricalCrossentropy(from_logits=True),
            r"kind of ensemble, MultiLabel\(\).*ensembles.Classifier\(\)`",
        ),
    ],
)
def test_losses_of_something_else_are_refused(loss, message):
    with pytest.raises(ValueError, match=message):
        KIND.check_loss(loss)


def test_losses_of_labels_pass():
    for loss in (
        keras.losses.BinaryCrossentropy(from_logits=True),
        keras.losses.BinaryFocalCrossentropy(from_logits=True),
    ):
        KIND.check_loss(loss)


def test_metrics_see_probabilities():
    with pytest.raises(ValueError, match="must take probabilities"):
        KIND.checked_metrics([keras.metrics.AUC(from_logits=True)])
    given = [keras.metrics.AUC(), keras.metrics.binary_accuracy]
    found = KIND.checked_metrics(["accuracy", *given])
    assert found[1:] == given
    assert isinstance(found[0], keras.metrics.BinaryAccuracy)
    assert KIND.checked_metrics(None) is None
