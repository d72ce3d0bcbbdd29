"""Saving and loading networks."""

import json
import subprocess
import sys
import zipfile

import h5py
import keras
import numpy as np
import pytest

import keras_superweights as ksw
from keras_superweights.members import cloning
from keras_superweights.sharing import SuperWeights
from tests.training import networks


def network_of(optimizer="sgd", tied=False, **kwargs):
    network = ksw.SuperWeightNetwork(
        [networks.small_net(depth=2), networks.small_net(6, 2)],
        0.8,
        SuperWeights(depth_bins=1, tied=tied),
        **kwargs,
    )
    network.compile(
        optimizer,
        networks.crossentropy(),
        metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2)],
        run_eagerly=True,
    )
    return network


def loaded_again(network, path):
    network.save(path)
    loaded = keras.models.load_model(path)
    loaded.run_eagerly = True
    return loaded


OPTIMIZERS = {
    "IVON": lambda: ksw.optimizers.IVON(0.1, ess=8),
    "Adam": lambda: keras.optimizers.Adam(0.01),
    "loss scale": lambda: keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(0.1, momentum=0.9), initial_scale=8.0
    ),
}


@pytest.mark.parametrize(
    ("tied", "optimizer", "weight_decay"),
    [(False, "loss scale", 1e-3), (True, "Adam", 1e-3), (True, "IVON", 0.0)],
)
def test_a_loaded_network_predicts_and_trains_on_as_the_original(
    tied, optimizer, weight_decay, tmp_path
):
    network = network_of(
        OPTIMIZERS[optimizer](),
        tied,
        weight_decay=weight_decay,
        decay_batch_norm=False,
    )
    x, y = networks.batch_of()
    for _ in range(2):
        network.train_on_batch(x, y)
    loaded = loaded_again(network, tmp_path / "network.keras")
    assert type(loaded) is ksw.SuperWeightNetwork
    assert loaded.weight_decay == weight_decay
    assert loaded.decay_batch_norm is False
    for one, other in zip(
        network.optimizer.variables, loaded.optimizer.variables, strict=True
    ):
        np.testing.assert_array_equal(one, other, err_msg=one.path)

    network.reset_metrics()
    x, y = networks.batch_of(seed=1)
    for _ in range(2):
        expected = network.train_on_batch(x, y, return_dict=True)
        logs = loaded.train_on_batch(x, y, return_dict=True)
        assert "member_1_accuracy" in logs
        assert logs == pytest.approx(expected, abs=1e-6)
    for one, other in zip(network.weights, loaded.weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6, err_msg=one.path)


def test_ties_changed_after_the_start_are_saved(tmp_path):
    network = network_of(tied=True)
    mixture = network.generator.mixtures[0]
    ties = np.arange(mixture.ties.shape[0])
    mixture.ties.assign(ties)
    loaded = loaded_again(network, tmp_path / "network.keras")
    np.testing.assert_array_equal(loaded.generator.mixtures[0].ties, ties)
    x, _ = networks.batch_of()
    np.testing.assert_array_equal(loaded(x), network(x))


@keras.saving.register_keras_serializable(package="test_network_saving")
def first_logit(y_true, y_pred):
    return keras.ops.abs(keras.ops.cast(y_true, "float32") - y_pred[:, 0])


@pytest.mark.parametrize(
    ("members", "loss"),
    [
        (2, first_logit),
        (1, "sparse_categorical_crossentropy"),
        (1, ["mse"]),
    ],
)
def test_a_network_is_loaded_with_its_loss(members, loss, tmp_path):
    network = ksw.SuperWeightNetwork([networks.small_net()] * members)
    network.compile("sgd", loss, run_eagerly=True)
    loaded = loaded_again(network, tmp_path / "network.keras")
    x, y = networks.batch_of()
    if loss == ["mse"]:
        y = np.eye(networks.CLASSES)[y]
    expected = network.evaluate(x, y, verbose=0, return_dict=True)
    found = loaded.evaluate(x, y, verbose=0, return_dict=True)
    assert found["loss"] == expected["loss"]


def test_weights_are_saved_alone_and_templates_once(tmp_path):
    """The file holds all variables, but no generated kernel."""
    one, other = (
        ksw.SuperWeightNetwork(
            [networks.small_net(24, 4), networks.small_net(24, 4)],
            0.3,
            SuperWeights(depth_bins=1),
        )
        for _ in range(2)
    )
    path = tmp_path / "network.weights.h5"
    one.save_weights(path)
    sizes = []
    with h5py.File(path) as file:
        file.visititems(lambda _, item: sizes.append(getattr(item, "size", 0)))
    stored = sum(int(np.prod(v.shape)) for v in one.weights)
    assert sum(sizes) == stored < one.allocation.independent_params / 2
    x, _ = networks.batch_of()
    assert not np.allclose(one(x), other(x))
    other.load_weights(path)
    np.testing.assert_array_equal(one(x), other(x))


def damaged(path, change):
    """Copies a saved network and changes its config."""
    target = path.with_name("damaged.keras")
    with (
        zipfile.ZipFile(path) as source,
        zipfile.ZipFile(target, "w") as copy,
    ):
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                config = json.loads(content)
                change(config["config"])
                content = json.dumps(config)
            copy.writestr(name, content)
    return target


def test_nothing_that_is_loaded_runs_code(tmp_path):
    def build(middle):
        inputs = keras.Input((4,))
        x = keras.layers.Dense(6)(keras.layers.Dense(6)(inputs))
        return keras.Model(
            inputs, keras.layers.Dense(networks.CLASSES)(middle(x))
        )

    network = ksw.SuperWeightNetwork(build(keras.layers.ReLU()), 1.2)
    path = tmp_path / "network.keras"
    network.save(path)
    keras.models.load_model(path)
    code = build(keras.layers.Lambda(lambda x: x + 1.0, output_shape=(6,)))
    text = cloning.to_json(code)
    attack = damaged(path, lambda config: config.update(members=[text]))
    with pytest.raises((ValueError, TypeError), match="arbitrary code"):
        keras.models.load_model(attack)


HEAVY = ["tensorflow_datasets", "keras_tuner", "kerastuner", "matplotlib"]
HEAVY += ["tensorboard", "sklearn", "ml_collections", "trainers", "configs"]


def test_importing_the_library_imports_no_heavy_package():
    code = (
        "import sys, keras; before = set(sys.modules);"
        "import keras_superweights;"
        "new = {m.partition('.')[0] for m in set(sys.modules) - before};"
        f"print(sorted(new & set({HEAVY!r})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=networks.ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
