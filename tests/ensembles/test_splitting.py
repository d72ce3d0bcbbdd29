"""Members that split the batch, against plain models on their parts."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_superweights as ksw
from keras_superweights.sharing import Independent
from tests.ensembles.cases import CASES

SPLIT = {
    "classifier": ksw.ensembles.Classifier(split_batch=True),
    "classifier of tokens": ksw.ensembles.Classifier(split_batch=True),
    "multi-label": ksw.ensembles.MultiLabel(split_batch=True),
    "mean and variance": ksw.ensembles.Regression(True, split_batch=True),
}


def network_of(name, **kwargs):
    case = CASES[name]
    members = [case.member() for _ in range(2)]
    network = ksw.SuperWeightNetwork(
        members, 1.0, Independent(), ensemble=SPLIT[name]
    )
    return case.compiled(network, **kwargs)


@pytest.mark.parametrize("name", SPLIT)
def test_a_step_is_that_of_plain_models_on_their_own_parts(name):
    case, network = CASES[name], network_of(name)
    x, y = case.batch()
    plain = network.materialize()
    logs = network.train_on_batch(x, y, return_dict=True)
    answers = []
    for index, (model, member) in enumerate(
        zip(plain, network.members, strict=True)
    ):
        rows = slice(4 * index, 4 * index + 4)
        with tf.GradientTape() as tape:
            answer = network.ensemble.answer(model(x[rows], training=True))
            loss = case.loss()(y[rows], answer)
        answers.append(np.array(network.ensemble.prediction([answer])))
        np.testing.assert_allclose(
            logs[f"member_{index}_loss"], loss, rtol=1e-4
        )
        keras.optimizers.SGD(0.1).apply(
            tape.gradient(loss, model.trainable_variables),
            model.trainable_variables,
        )
        for expected, found in zip(
            model.get_weights(), member.get_weights(), strict=True
        ):
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    losses = [logs[f"member_{index}_loss"] for index in range(2)]
    np.testing.assert_allclose(logs["loss"], sum(losses), rtol=1e-5)
    if name == "classifier":
        right = np.concatenate(answers).argmax(-1) == y.argmax(-1)
        np.testing.assert_allclose(logs["accuracy"], right.mean(), rtol=1e-6)
        for index in range(2):
            accuracy = right[4 * index : 4 * index + 4].mean()
            found = logs[f"member_{index}_accuracy"]
            np.testing.assert_allclose(found, accuracy, rtol=1e-6)


def test_it_is_measured_on_whole_batches_and_saved_with_the_network(tmp_path):
    case, network = CASES["classifier"], network_of("classifier")
    x, y = case.batch()
    history = network.fit(
        x, y, batch_size=4, validation_data=(x, y), verbose=0
    ).history
    assert np.isnan(history["diversity"]).all()  # compared with nothing
    assert np.isfinite(history["val_loss"]).all()
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    assert loaded.ensemble.split_batch
    assert repr(loaded.ensemble) == "Classifier(split_batch=True)"
    whole = ksw.SuperWeightNetwork(network.materialize(), initialize="weights")
    case.compiled(whole)
    np.testing.assert_allclose(
        loaded.evaluate(x, y, verbose=0), whole.evaluate(x, y, verbose=0)
    )


def test_batches_that_members_do_not_divide_are_refused():
    case = CASES["classifier"]
    x, y = case.batch(size=7)
    with pytest.raises(ValueError, match="number, 2. .*a batch of 7"):
        network_of("classifier").train_on_batch(x, y)
    traced = network_of("classifier", run_eagerly=False)
    with pytest.raises(tf.errors.InvalidArgumentError, match="number, 2. "):
        traced.fit(x, y, batch_size=4, verbose=0)
    with pytest.raises(TypeError, match="`split_batch`.*'yes'"):
        ksw.ensembles.MultiLabel(split_batch="yes")
