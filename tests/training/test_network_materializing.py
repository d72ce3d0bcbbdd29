"""The plain models that `materialize` returns."""

import keras
import numpy as np
import pytest

import keras_superweights as ksw
from keras_superweights.sharing import SuperWeights
from tests.training import networks


def nested_and_shared():
    """Has a nested model, a layer used twice, a frozen one, dropout."""
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
    return keras.Model(
        inputs, keras.layers.Dense(networks.CLASSES)(x), name="nested"
    )


def sequential():
    return keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(networks.CLASSES),
        ],
        name="sequential",
    )


@pytest.fixture(scope="module")
def trained():
    network = ksw.SuperWeightNetwork(
        [networks.small_net(name="plain"), nested_and_shared(), sequential()],
        1.2,
        SuperWeights(depth_bins=1),
    )
    networks.compiled(network, keras.optimizers.SGD(0.05))
    for _ in range(2):
        network.train_on_batch(*networks.batch_of())
    return network


def test_materialized_members_predict_the_same_in_their_classes(trained):
    x, _ = networks.batch_of()
    for model, original, output in zip(
        trained.materialize(),
        [networks.small_net(name="plain"), nested_and_shared(), sequential()],
        trained.member_outputs(x),
        strict=True,
    ):
        np.testing.assert_allclose(model(x), output, atol=1e-5)
        assert (type(model), model.name) == (type(original), original.name)
        kinds = [type(layer) for layer in original.layers]
        assert [type(layer) for layer in model.layers] == kinds
        shapes = [tuple(v.shape) for v in original.weights]
        assert [tuple(v.shape) for v in model.weights] == shapes
        assert "superweights" not in model.to_json()


def test_materialized_members_do_not_change_with_the_network(trained):
    x, _ = networks.batch_of()
    model = trained.materialize()[0]
    before = np.array(model(x))
    model.trainable_variables[0].assign_add(
        np.ones(model.trainable_variables[0].shape)
    )
    assert not np.allclose(model(x), before)
    np.testing.assert_allclose(trained.member_outputs(x)[0], before, atol=1e-5)
