"""Training with callbacks, resuming, logs and kernels of a network."""

import keras
import numpy as np
import pytest

import keras_superweights as ksw
from tests.builders import Interrupt
from tests.builders import Interrupted
from tests.training.networks import batch_of
from tests.training.networks import compiled
from tests.training.networks import shared
from tests.training.networks import small_net


def test_callbacks_of_keras_run(tmp_path):
    x, y = batch_of(16)
    path = tmp_path / "best.keras"
    callbacks = [
        keras.callbacks.ModelCheckpoint(
            path, "val_accuracy", save_best_only=True, mode="max"
        ),
        keras.callbacks.EarlyStopping(
            "val_member_1_accuracy", mode="max", restore_best_weights=True
        ),
        keras.callbacks.ReduceLROnPlateau("val_loss", patience=1),
        keras.callbacks.TerminateOnNaN(),
    ]
    network = compiled(shared([small_net(depth=1), small_net(6, depth=1)]))
    network.fit(
        x,
        y,
        epochs=2,
        validation_data=(x, y),
        verbose=0,
        callbacks=callbacks,
    )
    assert path.exists()


def test_an_interrupted_run_continues_as_if_it_had_not_been(tmp_path):
    x, y = batch_of(16)

    def fit(directory, *callbacks):
        keras.utils.set_random_seed(2)
        network = shared([small_net(depth=1), small_net(6, depth=1)])
        compiled(network, keras.optimizers.SGD(0.1, momentum=0.9))
        network.fit(
            x,
            y,
            epochs=4,
            shuffle=False,
            verbose=0,
            callbacks=[keras.callbacks.BackupAndRestore(directory), *callbacks],
        )
        return network.get_weights()

    whole = fit(tmp_path / "whole")
    with pytest.raises(Interrupted):
        fit(tmp_path / "part", Interrupt(epoch=2, step=0))
    for one, other in zip(whole, fit(tmp_path / "part"), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_training_that_diverges_stops_as_keras_stops_it():
    network = compiled(
        shared([small_net(depth=1)] * 2), keras.optimizers.SGD(1e38)
    )
    x, y = batch_of(16)
    stop = keras.callbacks.TerminateOnNaN()
    network.fit(x, y, batch_size=8, epochs=3, verbose=0, callbacks=[stop])
    assert network.history.epoch == [0]


def test_statistics_of_frozen_layers_are_not_averaged():
    inputs = keras.Input((6,))
    x = keras.layers.BatchNormalization(name="moving")(inputs)
    still = keras.layers.BatchNormalization(name="still")
    still.trainable = False
    x = keras.layers.Dense(4)(still(x))
    model = keras.Model(inputs, keras.layers.Dense(3)(x))
    network = ksw.SuperWeightNetwork(model)
    moving = network.members[0].get_layer("moving")
    assert {id(v) for v in network._statistics()} == {
        id(moving.moving_mean),
        id(moving.moving_variance),
    }


@pytest.fixture(scope="module")
def trained():
    """Two members, fitted on uneven batches, and the history."""
    keras.utils.set_random_seed(0)
    network = shared([small_net(name="a"), small_net(6, name="b")])
    compiled(network, keras.optimizers.SGD(0.1), jit_compile=False)
    x, y = batch_of(20)
    history = network.fit(
        x, y, batch_size=8, epochs=2, validation_data=(x, y), verbose=0
    )
    return network, history.history


def test_weighted_evaluation_equals_that_of_plain_keras(trained):
    network, _ = trained
    x, y = batch_of(20, seed=1)
    weight = np.linspace(0, 3, 20).astype("float32")
    settings = {"sample_weight": weight, "batch_size": 8, "verbose": 0}
    logs = network.evaluate(x, y, return_dict=True, **settings)
    for index, model in enumerate(network.materialize()):
        plain = compiled(model).evaluate(x, y, return_dict=True, **settings)
        for key, value in plain.items():
            name = f"member_{index}_{key}"
            assert logs[name] == pytest.approx(value, abs=1e-5), key


def test_layers_used_outside_the_network_see_the_same_kernels(trained):
    network, _ = trained
    x, _ = batch_of()
    for member, plain in zip(
        network.members, network.materialize(), strict=True
    ):
        np.testing.assert_allclose(member(x), plain(x), atol=1e-5)
        layer = member.get_layer("conv1")
        np.testing.assert_allclose(
            layer.kernel, plain.get_layer("conv1").kernel, atol=1e-6
        )


def test_the_summary_names_members_and_parameters(trained):
    network, _ = trained
    lines = []
    network.summary(print_fn=lines.append, expand_nested=True)
    text = "\n".join(map(str, lines))
    assert f"{network.allocation.num_params:,}" in text
    assert "conv1" in text
