"""What is saved and loaded."""

import json
import os
import pathlib
import subprocess
import sys
import zipfile

import h5py
import keras
import numpy as np
import pytest

import keras_superweights as ksw
from keras_superweights.members import cloning
from keras_superweights.sharing import Independent
from keras_superweights.sharing import MixtureEnsembles
from keras_superweights.sharing import SuperWeights
from tests.training.networks import CLASSES
from tests.training.networks import batch_of
from tests.training.networks import small_net


def network_of(sharing, budget, optimizer, **kwargs):
    network = ksw.SuperWeightNetwork(
        [small_net(), small_net(6, 2)], budget, sharing, **kwargs
    )
    network.compile(
        optimizer,
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2)],
        run_eagerly=True,
    )
    return network


VARIANTS = {
    "depth": (SuperWeights(depth_bins=1), 0.8),
    "tied": (SuperWeights(depth_bins=1, tied=True), 0.8),
    "round robin": (MixtureEnsembles(max_templates=2), 1.2),
    "one store": (MixtureEnsembles(), 0.6),
    "independent": (Independent(), 1.0),
}
OPTIMIZERS = {
    "momentum": lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "Adam": lambda: keras.optimizers.Adam(0.01),
    "loss scale": lambda: keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(0.1, momentum=0.9), initial_scale=8.0
    ),
}
CASES = [(variant, "momentum") for variant in VARIANTS]
CASES += [("depth", "Adam"), ("depth", "loss scale"), ("tied", "Adam")]


@pytest.mark.parametrize(("variant", "optimizer"), CASES)
def test_a_loaded_network_predicts_and_trains_on_as_the_original(
    variant, optimizer, tmp_path
):
    network = network_of(
        *VARIANTS[variant],
        OPTIMIZERS[optimizer](),
        weight_decay=1e-3,
        decay_batch_norm=False,
    )
    x, y = batch_of()
    for _ in range(2):
        network.train_on_batch(x, y)
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    loaded.run_eagerly = True

    assert type(loaded) is ksw.SuperWeightNetwork
    assert loaded.allocation == network.allocation
    assert (loaded.weight_decay, loaded.decay_batch_norm) == (1e-3, False)
    np.testing.assert_array_equal(loaded(x), network(x))
    slots = zip(
        network.optimizer.variables, loaded.optimizer.variables, strict=True
    )
    for one, other in slots:
        np.testing.assert_array_equal(one, other, err_msg=one.path)

    network.reset_metrics()
    x, y = batch_of(seed=1)
    for _ in range(2):
        expected = network.train_on_batch(x, y, return_dict=True)
        logs = loaded.train_on_batch(x, y, return_dict=True)
        assert set(logs) == set(expected)
        assert "member_1_accuracy" in logs
        for key, value in expected.items():
            np.testing.assert_allclose(logs[key], value, atol=1e-6)
    for one, other in zip(network.weights, loaded.weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6, err_msg=one.path)


def test_ties_changed_after_the_start_are_saved(tmp_path):
    network = network_of(SuperWeights(depth_bins=1, tied=True), 0.8, "sgd")
    mixture = network.generator.mixtures[0]
    ties = np.arange(mixture.ties.shape[0])
    mixture.ties.assign(ties)
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(loaded.generator.mixtures[0].ties, ties)
    x, _ = batch_of()
    np.testing.assert_array_equal(loaded(x), network(x))


def test_an_uncompiled_network_and_a_single_one_are_saved(tmp_path):
    network = ksw.SuperWeightNetwork(
        small_net(), 0.9, SuperWeights(depth_bins=1)
    )
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    x, _ = batch_of()
    np.testing.assert_array_equal(loaded(x), network(x))
    assert not loaded.compiled


@keras.saving.register_keras_serializable(package="test_network_saving")
def first_logit(y_true, y_pred):
    return keras.ops.abs(keras.ops.cast(y_true, "float32") - y_pred[:, 0])


@pytest.mark.parametrize(
    ("members", "loss"),
    [
        (2, keras.losses.SparseCategoricalCrossentropy(from_logits=True)),
        (2, first_logit),
        (1, "sparse_categorical_crossentropy"),
        (1, ["mse"]),
    ],
)
def test_a_network_is_loaded_with_its_loss(members, loss, tmp_path):
    network = ksw.SuperWeightNetwork([small_net()] * members)
    network.compile("sgd", loss, run_eagerly=True)
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    loaded.run_eagerly = True
    x, y = batch_of()
    if loss == ["mse"]:
        y = np.eye(CLASSES)[y]
    expected = network.evaluate(x, y, verbose=0, return_dict=True)
    found = loaded.evaluate(x, y, verbose=0, return_dict=True)
    assert found["loss"] == expected["loss"]


def test_weights_are_saved_and_loaded_alone(tmp_path):
    one = network_of(*VARIANTS["depth"], "sgd")
    other = network_of(*VARIANTS["depth"], "sgd")
    x, _ = batch_of()
    assert not np.allclose(one(x), other(x))
    one.save_weights(tmp_path / "network.weights.h5")
    other.load_weights(tmp_path / "network.weights.h5")
    np.testing.assert_array_equal(one(x), other(x))


def test_templates_are_stored_once(tmp_path):
    """The file holds what is trained, and no generated kernel."""
    network = ksw.SuperWeightNetwork(
        [small_net(24, 4), small_net(24, 4)],
        0.3,
        SuperWeights(depth_bins=1),
    )
    path = tmp_path / "network.weights.h5"
    network.save_weights(path)
    sizes = []
    with h5py.File(path) as file:
        file.visititems(lambda _, item: sizes.append(getattr(item, "size", 0)))
    stored = sum(int(np.prod(v.shape)) for v in network.weights)
    assert sum(sizes) == stored < network.allocation.independent_params / 2


def test_a_mixed_precision_network_is_loaded_with_its_policy(tmp_path):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = network_of(*VARIANTS["depth"], "sgd")
    finally:
        keras.config.set_dtype_policy(before)
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    x, _ = batch_of()
    np.testing.assert_array_equal(loaded(x), network(x))
    assert loaded.dtype_policy.name == "mixed_bfloat16"
    assert loaded.members[0].layers[1].compute_dtype == "bfloat16"


def damaged(path, change):
    """A copy of a saved network whose config has been changed."""
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


def test_a_saved_allocation_that_is_damaged_is_refused(tmp_path):
    network = network_of(*VARIANTS["depth"], "sgd")
    path = tmp_path / "network.keras"
    network.save(path)

    def grow(config):
        allocation = json.loads(config["allocation"])
        allocation["superweights"][0]["num_templates"] = 999
        config["allocation"] = json.dumps(allocation)

    with pytest.raises((ValueError, TypeError), match="lie in its bank"):
        keras.models.load_model(damaged(path, grow))


def test_nothing_that_is_loaded_runs_code(tmp_path):
    def build(middle):
        inputs = keras.Input((4,))
        x = keras.layers.Dense(6)(keras.layers.Dense(6)(inputs))
        return keras.Model(inputs, keras.layers.Dense(CLASSES)(middle(x)))

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


def test_importing_the_library_imports_nothing_else_that_is_heavy():
    code = (
        "import sys, keras; before = set(sys.modules);"
        "import keras_superweights;"
        "new = {m.partition('.')[0] for m in set(sys.modules) - before};"
        f"print(sorted(new & set({HEAVY!r})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=pathlib.Path(ksw.__file__).parents[1],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
