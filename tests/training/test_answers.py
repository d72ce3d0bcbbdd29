"""What members answer, and calibrated answers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_superweights as ksw
from keras_superweights.calibration import PlattScaling
from keras_superweights.calibration import TemperatureScaling
from keras_superweights.calibration import VectorScaling
from keras_superweights.export import materialize_ensemble
from tests.builders import perceptron

X = np.random.default_rng(0).normal(size=(7, 5)).astype("float32")
Y = np.array([0, 1, 2, 0, 1, 2, 0])


def network(num_members=2, ensemble=None, outputs=3):
    keras.utils.set_random_seed(num_members)
    members = [perceptron(outputs=outputs) for _ in range(num_members)]
    made = ksw.SuperWeightNetwork(members, 0.9, ensemble=ensemble)
    if ensemble is None:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        made.compile("sgd", loss, metrics=["accuracy"])
    return made


def log_softmax(logits):
    return np.asarray(keras.ops.log_softmax(logits))


@pytest.mark.parametrize("num_members", [1, 2])
def test_members_are_predicted_from_whatever_predict_takes(num_members):
    made = network(num_members)
    wanted = [plain(X).numpy() for plain in made.materialize()]
    labelled = tf.data.Dataset.from_tensor_slices((X, Y)).batch(3)
    for x in (X, tf.constant(X), labelled, labelled.map(lambda x, _: x)):
        found = made.predict_members(x, verbose=0)
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6)
    small = made.predict_members(X, batch_size=2, steps=2, verbose=0)
    assert [len(each) for each in small] == [4] * num_members
    # The network itself is as before.
    assert len(made.weights) == len({id(w) for w in made.weights})
    combined = made.predict(X, verbose=0)
    if num_members > 1:
        probabilities = np.mean(np.exp([log_softmax(w) for w in wanted]), 0)
        np.testing.assert_allclose(np.exp(combined), probabilities, atol=1e-6)


def test_members_that_answer_variances_answer_positive_ones():
    kind = ksw.ensembles.Regression(variance=True)
    made = network(ensemble=kind, outputs=2)
    found = np.stack(made.predict_members(X, verbose=0))
    mean, variance = np.split(found, 2, axis=-1)
    assert (variance > 0).all()
    moments = ksw.metrics.mixture_moments(mean, variance)
    whole = np.concatenate([moments["mean"], moments["variance"]], axis=-1)
    np.testing.assert_allclose(made.predict(X, verbose=0), whole, atol=1e-6)


@pytest.mark.parametrize("num_members", [1, 2])
def test_a_calibration_is_part_of_what_is_answered(num_members, tmp_path):
    made = network(num_members)
    before = made.predict(X, verbose=0)
    plain = made.evaluate(X, Y, verbose=0, return_dict=True)
    made.fit(X, Y, verbose=0)  # compiles what is calibrated later
    made = network(num_members)
    made.predict(X, verbose=0)
    made.calibration = TemperatureScaling(2.5)
    wanted = log_softmax(before / 2.5)
    np.testing.assert_allclose(made.predict(X, verbose=0), wanted, atol=1e-6)
    np.testing.assert_allclose(made(X), wanted, atol=1e-6)
    found = made.evaluate(X, Y, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(-wanted[range(7), Y].mean(), rel=1e-5)
    assert found["accuracy"] == plain["accuracy"]
    members = made.predict_members(X, verbose=0)
    np.testing.assert_allclose(members[0], made.materialize()[0](X), atol=1e-6)

    made.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    assert repr(loaded.calibration) == "TemperatureScaling(temperature=2.5)"
    np.testing.assert_allclose(loaded.predict(X, verbose=0), wanted, atol=1e-6)
    exported = materialize_ensemble(made)
    np.testing.assert_allclose(exported(X), wanted, atol=1e-5)
    exported.save(tmp_path / "plain.keras")
    # Without it, everything is as it was.
    made.calibration = None
    np.testing.assert_allclose(made.predict(X, verbose=0), before, atol=1e-6)
    assert "calibration" not in made.get_config()


def test_members_are_trained_as_without_a_calibration():
    for num_members in (1, 2):
        plain, calibrated = network(num_members), network(num_members)
        calibrated.calibration = TemperatureScaling(9.0)
        losses = [
            made.fit(X, Y, epochs=2, shuffle=False, verbose=0).history["loss"]
            for made in (plain, calibrated)
        ]
        np.testing.assert_allclose(*losses, rtol=1e-6)
        for one, other in zip(plain.weights, calibrated.weights, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6)


def test_every_kind_has_calibrations_that_fit():
    made = network(ensemble=ksw.ensembles.MultiLabel(), outputs=2)
    before = made.predict(X, verbose=0)
    made.calibration = PlattScaling([2.0, 3.0], [0.5, 0.0])
    found = made.predict(X, verbose=0)
    np.testing.assert_allclose(found, before * [2, 3] + [0.5, 0], atol=1e-5)

    kind = ksw.ensembles.Classifier()
    one, other = network(ensemble=kind), network(ensemble=kind)
    one.calibration = VectorScaling([1.0, 2.0, 3.0], [0.0, 0.1, 0.2])
    assert other.calibration is None and kind.calibration is None
    before = other.predict(X, verbose=0)
    wanted = log_softmax(before * [1, 2, 3] + np.array([0, 0.1, 0.2]))
    np.testing.assert_allclose(one.predict(X, verbose=0), wanted, atol=1e-5)


@pytest.mark.parametrize(
    "given, error, told",
    [
        (2.0, TypeError, "`calibration`.*2.0"),
        (TemperatureScaling, TypeError, "`calibration`.*TemperatureScaling"),
        (VectorScaling([1.0], [0.0]), ValueError, "1 classes.*None, 3"),
        (PlattScaling([1.0], [0.0]), ValueError, "1 labels.*None, 3"),
    ],
)
def test_what_does_not_fit_is_refused(given, error, told):
    made = network()
    with pytest.raises(error, match=told):
        made.calibration = given
    assert made.calibration is None
