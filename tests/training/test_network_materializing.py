"""The plain models that come out of a network."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_superweights as ksw
from keras_superweights.sharing import SuperWeights
from tests.training.networks import CLASSES
from tests.training.networks import batch_of
from tests.training.networks import small_net


def nested_and_shared():
    """A model in a member, a layer used twice, frozen ones, dropout."""
    inner = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            keras.layers.Conv2D(4, 3, padding="same"),
            keras.layers.BatchNormalization(),
        ],
        name="inner",
    )
    inputs = keras.Input((6, 6, 2))
    x = inner(inputs)
    twice = keras.layers.Conv2D(4, 3, padding="same", activation="relu")
    x = twice(twice(x))
    x = keras.layers.Conv2D(4, 3, padding="same", groups=2)(x)
    frozen = keras.layers.Dense(4, name="frozen")
    frozen.trainable = False
    x = keras.layers.Dropout(0.2)(frozen(x))
    x = keras.layers.Flatten()(x)
    return keras.Model(inputs, keras.layers.Dense(CLASSES)(x), name="nested")


def sequential():
    return keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(CLASSES),
        ],
        name="sequential",
    )


@pytest.fixture(scope="module")
def trained():
    network = ksw.SuperWeightNetwork(
        [small_net(name="plain"), nested_and_shared(), sequential()],
        1.2,
        SuperWeights(depth_bins=1),
    )
    network.compile(
        keras.optimizers.SGD(0.05),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        run_eagerly=True,
    )
    for _ in range(2):
        network.train_on_batch(*batch_of())
    return network


def test_materialized_members_predict_the_same(trained):
    x, _ = batch_of()
    plain = trained.materialize()
    assert [model.name for model in plain] == ["plain", "nested", "sequential"]
    outputs = trained.member_outputs(x)
    for model, output in zip(plain, outputs, strict=True):
        np.testing.assert_allclose(model(x), output, atol=1e-5)


def test_materialized_members_are_of_the_original_classes(trained):
    originals = [small_net(), nested_and_shared(), sequential()]
    for model, original in zip(trained.materialize(), originals, strict=True):
        assert type(model) is type(original)
        kinds = [type(layer) for layer in original.layers]
        assert [type(layer) for layer in model.layers] == kinds
        shapes = [tuple(v.shape) for v in original.weights]
        assert [tuple(v.shape) for v in model.weights] == shapes
        assert "superweights" not in model.to_json()


def test_materialized_members_do_not_change_with_the_network(trained):
    x, _ = batch_of()
    model = trained.materialize()[0]
    before = np.array(model(x))
    model.trainable_variables[0].assign_add(
        np.ones(model.trainable_variables[0].shape)
    )
    assert not np.allclose(model(x), before)
    np.testing.assert_allclose(trained.member_outputs(x)[0], before, atol=1e-5)


ALONE = """
import sys


class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "keras_superweights":
            raise ImportError("not installed")


sys.meta_path.insert(0, Refuse())
try:
    import keras_superweights
    sys.exit("the library can be imported")
except ImportError:
    pass
import h5py
import keras
import numpy as np

x = np.load("x.npy")
for index in range(3):
    model = keras.models.load_model(f"member_{index}.keras")
    np.testing.assert_allclose(
        model.predict(x, verbose=0), np.load(f"{index}.npy"), atol=1e-5
    )
"""


def test_materialized_members_load_where_the_library_is_not(trained, tmp_path):
    x, _ = batch_of()
    np.save(tmp_path / "x.npy", x)
    outputs = trained.member_outputs(x)
    for index, model in enumerate(trained.materialize()):
        model.save(tmp_path / f"member_{index}.keras")
        np.save(tmp_path / f"{index}.npy", outputs[index])
    done = subprocess.run(
        [sys.executable, "-I", "-c", ALONE],
        cwd=tmp_path,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
