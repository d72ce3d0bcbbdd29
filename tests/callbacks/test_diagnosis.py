"""What an epoch did to kernels, against plain Keras models and by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_superweights as ksw
from keras_superweights.callbacks import SharingInspector
from keras_superweights.callbacks.diagnosis import SharingDiagnosis
from keras_superweights.callbacks.diagnosis import effective_rank
from keras_superweights.search import GradientRecorder
from tests import builders

pytestmark = pytest.mark.usefixtures("eager")

X = np.random.default_rng(0).normal(size=(16, 5)).astype("float32")
Y = np.arange(16) % 3
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def network_of(rate, rule=None):
    keras.utils.set_random_seed(0)
    network = ksw.SuperWeightNetwork(
        [lambda: builders.perceptron(width=5)] * 2,
        1.0 if rule else 0.9,
        rule or ksw.sharing.MixtureEnsembles(),
    )
    network.compile(keras.optimizers.SGD(rate), LOSS)
    return network


def epoch(network, diagnosis, **kwargs):
    diagnosis.begin_epoch()
    network.fit(X, Y, epochs=1, shuffle=False, verbose=0, **kwargs)
    return diagnosis.end_epoch()


def plain_kernels(network):
    return [
        model.get_layer(name).kernel
        for model in network.materialize()
        for name in ("d0", "d1")
    ]


@pytest.mark.parametrize("rule", [None, ksw.sharing.Independent()])
def test_relative_steps_are_those_of_the_plain_models(rule):
    network = network_of(0.5, rule)
    diagnosis = SharingDiagnosis(network)
    for _ in range(2):
        before = plain_kernels(network)
        epoch(network, diagnosis, batch_size=4)
        expected = [
            np.linalg.norm(after - old) / np.linalg.norm(old)
            for old, after in zip(before, plain_kernels(network), strict=True)
        ]
        measured = diagnosis.history["relative step"][-1]
        np.testing.assert_allclose(measured, expected, rtol=1e-4)
    assert len(diagnosis.history["relative step"]) == 2


def test_agreement_is_that_of_plain_gradients_on_a_template():
    network = network_of(0.0)
    (superweight,) = network.allocation.superweights
    models = network.materialize()
    kernels = [
        m.get_layer(name).kernel for m in models for name in ("d0", "d1")
    ]
    with tf.GradientTape() as tape:
        loss = sum(LOSS(Y, model(X)) for model in models)
    by_kernel = tape.gradient(loss, [kernel.value for kernel in kernels])
    rows = np.array(network.generator.mixtures[0].matrix())
    assert rows.shape == (4, superweight.num_templates)
    agreements = []
    for column in rows.T:
        pairs = zip(column, by_kernel, strict=True)
        parts = [c * np.array(gradient) for c, gradient in pairs]
        apart = sum(np.square(part).sum() for part in parts)
        agreements.append(np.square(sum(parts)).sum() / apart)
    diagnosis = SharingDiagnosis(network)
    means = epoch(network, diagnosis, batch_size=16)
    assert means["agreement"] == pytest.approx(np.mean(agreements), rel=1e-3)
    assert means["coefficients"] == means["relative step"] == 0.0
    assert network.recorder is None


def test_a_recorder_of_others_is_left_alone():
    network = network_of(0.1)
    other = GradientRecorder(network.generator)
    network.record_gradients(other)
    diagnosis = SharingDiagnosis(network)
    assert "agreement" not in epoch(network, diagnosis)
    assert np.isnan(diagnosis.history["agreement"][0]).all()
    assert network.recorder is other


def test_the_last_template_carries_what_it_adds():
    network = network_of(0.0)
    (superweight,) = network.allocation.superweights
    templates = np.array(network.generator.all_templates()[0])
    rows = np.array(network.generator.mixtures[0].matrix())
    energies = [
        sum(np.square(c * t).sum() for c in column)
        for column, t in zip(rows.T, templates, strict=True)
    ]
    means = epoch(network, SharingDiagnosis(network))
    expected = energies[-1] / sum(energies)
    assert means["last template"] == pytest.approx(expected, rel=1e-5)


def test_effective_rank():
    assert effective_rank(np.eye(3)) == pytest.approx(1.0)
    assert effective_rank(np.ones((5, 4))) == pytest.approx(1 / 4)
    # Singular values 3 and 1: entropy of (3/4, 1/4).
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    rows = np.diag([3.0, 1.0])
    assert effective_rank(rows) == pytest.approx(np.exp(entropy) / 2)


def test_the_inspector_shows_every_measure(tmp_path):
    network = network_of(0.1)
    inspector = SharingInspector(
        tmp_path / "logs", tmp_path / "figures", every=2, diagnose=True
    )
    network.fit(X, Y, epochs=2, callbacks=[inspector], verbose=0)
    measures = [name.replace(" ", "_") for name in SharingDiagnosis.MEASURES]
    tags = {}
    for file in (tmp_path / "logs").glob("*/events*"):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                tags.setdefault(value.tag, []).append(event.step)
    for measure in measures:
        # A number every epoch, and an image after the last.
        assert sorted(tags[f"diagnosis/{measure}"]) == [1, 2, 2]
        assert (tmp_path / "figures" / f"diagnosis-{measure}.png").exists()
