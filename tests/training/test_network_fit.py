"""Ways to train: precision, compilation, callbacks, resuming."""

import keras
import numpy as np
import pytest

import keras_superweights as ksw
from tests.training.networks import batch_of
from tests.training.networks import compiled
from tests.training.networks import shared
from tests.training.networks import small_net


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_and_predicts(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        network = shared([small_net(), small_net(6)], weight_decay=1e-3)
        compiled(network, keras.optimizers.SGD(0.1), jit_compile=False)
        x, y = batch_of()
        assert all(v.dtype == "float32" for v in network.trainable_variables)
        first = network.generator.get_weights()
        history = network.fit(x, y, epochs=2, verbose=0).history
        assert np.isfinite(history["loss"]).all()
        moved = [
            np.abs(a - b).max()
            for a, b in zip(first, network.generator.get_weights(), strict=True)
        ]
        assert 0 < max(moved) < 1
        assert np.isfinite(network.predict(x, verbose=0)).all()
        conv = network.members[0].get_layer("conv1")
        assert keras.backend.standardize_dtype(conv.kernel.dtype) == (
            policy.removeprefix("mixed_")
        )
    finally:
        keras.config.set_dtype_policy(before)


@pytest.mark.parametrize(
    "how", [{"jit_compile": True}, {"run_eagerly": True}], ids=str
)
def test_compiled_and_eager_steps_equal_the_traced_one(how):
    x, y = batch_of()
    results = []
    for kwargs in ({"jit_compile": False}, how):
        keras.utils.set_random_seed(1)
        network = shared([small_net(), small_net(6)], weight_decay=1e-3)
        compiled(network, keras.optimizers.SGD(0.1, momentum=0.9), **kwargs)
        logs = [
            network.train_on_batch(x, y, return_dict=True)["loss"]
            for _ in range(2)
        ]
        results.append([np.array(logs), *network.get_weights()])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_callbacks_of_keras_run(tmp_path):
    network = compiled(
        shared([small_net(), small_net(6)]), keras.optimizers.SGD(0.1)
    )
    x, y = batch_of(16)
    path = tmp_path / "best.keras"
    network.fit(
        x,
        y,
        epochs=3,
        validation_data=(x, y),
        verbose=0,
        callbacks=[
            keras.callbacks.ModelCheckpoint(
                path, monitor="val_accuracy", save_best_only=True, mode="max"
            ),
            keras.callbacks.EarlyStopping(
                "val_member_1_accuracy",
                patience=5,
                mode="max",
                restore_best_weights=True,
            ),
            keras.callbacks.BackupAndRestore(tmp_path / "backup"),
            keras.callbacks.ReduceLROnPlateau("val_loss", patience=1),
            keras.callbacks.TerminateOnNaN(),
        ],
    )
    assert path.exists()


def test_an_interrupted_run_continues_as_if_it_had_not_been(tmp_path):
    x, y = batch_of(16)

    class Interrupt(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    def fit(directory, *callbacks):
        keras.utils.set_random_seed(2)
        network = shared([small_net(), small_net(6)])
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
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "part", Interrupt())
    for one, other in zip(whole, fit(tmp_path / "part"), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


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
