"""Arguments, inputs, outputs and layers of a network."""

import math

import keras
import numpy as np
import pytest

import keras_superweights as ksw
from keras_superweights.sharing import SuperWeights
from tests.training.networks import CLASSES
from tests.training.networks import batch_of
from tests.training.networks import crossentropy
from tests.training.networks import shared
from tests.training.networks import small_net


def several_inputs_and_outputs():
    images = keras.Input((6, 6, 2), name="images")
    numbers = keras.Input((3,), name="numbers")
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(images)
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    x = keras.layers.Concatenate()([keras.layers.Flatten()(x), numbers])
    x = keras.layers.Dense(8, activation="relu")(x)
    outputs = {
        "label": keras.layers.Dense(CLASSES, name="label")(x),
        "size": keras.layers.Dense(1, name="size")(x),
    }
    return keras.Model({"images": images, "numbers": numbers}, outputs)


def test_a_single_network_keeps_its_inputs_outputs_and_losses():
    network = shared(several_inputs_and_outputs(), budget_params=1.2)
    settings = {
        "loss": {"label": crossentropy(), "size": "mse"},
        "loss_weights": {"label": 1.0, "size": 0.5},
        "metrics": {"label": ["accuracy"], "size": ["mae"]},
        "run_eagerly": True,
    }
    network.compile(keras.optimizers.SGD(0.05), **settings)
    images, labels = batch_of(12)
    x = {"images": images, "numbers": np.ones((12, 3), "float32")}
    y = {"label": labels, "size": images.mean(axis=(1, 2, 3))[:, None]}
    history = network.fit(x, y, epochs=3, batch_size=5, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    predicted = network.predict(x, verbose=0)
    (plain,) = network.materialize()
    expected = plain.predict(x, verbose=0)
    assert set(predicted) == {"label", "size"}
    for key, value in expected.items():
        np.testing.assert_allclose(predicted[key], value, atol=1e-5)
    plain.compile(**settings)
    found, expected = (
        model.evaluate(x, y, batch_size=5, verbose=0, return_dict=True)
        for model in (network, plain)
    )
    assert found == pytest.approx(expected, abs=1e-5)


def test_outputs_in_a_list_are_kept():
    inputs = keras.Input((5,))
    x = keras.layers.Dense(6)(keras.layers.Dense(6)(inputs))
    outputs = [keras.layers.Dense(2)(x), keras.layers.Dense(1)(x)]
    network = shared(keras.Model(inputs, outputs), budget_params=1.2)
    network.compile("sgd", ["mse", "mse"], run_eagerly=True)
    x = np.ones((7, 5), "float32")
    y = [np.ones((7, 2), "float32"), np.ones((7, 1), "float32")]
    logs = network.fit(x, y, batch_size=4, verbose=0).history
    assert np.isfinite(logs["loss"]).all()
    assert [o.shape for o in network.predict(x, verbose=0)] == [(7, 2), (7, 1)]


def test_layers_of_a_single_member_are_found_by_name():
    network = shared(small_net(name="net"))
    (member,) = network.members
    assert network.get_layer("conv1") is member.get_layer("conv1")
    assert network.get_layer(name="net") is member
    assert network.get_layer("generator") is network.generator
    assert network.get_layer(index=0) is network.layers[0]
    with pytest.raises(ValueError, match=r"No such layer: conv9.*'conv0'"):
        network.get_layer("conv9")
    with pytest.raises(ValueError, match="only a layer name or"):
        network.get_layer("conv1", 0)
    pair = shared([small_net(name="a"), small_net(6, name="b")])
    assert pair.get_layer("b") is pair.members[1]
    with pytest.raises(ValueError, match=r"No such layer: conv1.*'a', 'b'"):
        pair.get_layer("conv1")


def test_an_ensemble_without_a_loss_is_refused():
    network = shared([small_net(), small_net(6)])
    network.compile("sgd", jit_compile=False)
    with pytest.raises(ValueError, match="needs a `loss` in `compile"):
        network.train_on_batch(*batch_of())


def test_a_network_says_how_it_is_exported(tmp_path):
    with pytest.raises(ValueError, match=r"export_network\(network, directory"):
        shared(small_net()).export(tmp_path / "network")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"weight_decay": -1e-4}, ValueError, "weight_decay=-0.0001"),
        ({"weight_decay": math.nan}, ValueError, "weight_decay=nan"),
        ({"budget_params": "1M"}, TypeError, "budget_params='1M'"),
        ({"budget_params": 3}, ValueError, "smallest budget that works is"),
        ({"allocation": "{}"}, TypeError, "allocation='{}'"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused(kwargs, error, message):
    with pytest.raises(error, match=message):
        ksw.SuperWeightNetwork([small_net], **kwargs)


def test_an_allocation_and_a_budget_are_refused():
    allocation = ksw.allocate([small_net], 1.2, SuperWeights())
    for extra in ({"budget_params": 0.5}, {"sharing": SuperWeights()}):
        with pytest.raises(ValueError, match="Pass either `allocation`"):
            ksw.SuperWeightNetwork([small_net], allocation=allocation, **extra)


@pytest.mark.parametrize(
    "others",
    [[small_net, small_net], [lambda: small_net(5)], [lambda: small_net(4, 4)]],
    ids=["count", "width", "depth"],
)
def test_an_allocation_of_other_members_is_refused(others):
    allocation = ksw.allocate([small_net], 1.2, SuperWeights())
    with pytest.raises(ValueError, match="`allocation` (was|does)"):
        ksw.SuperWeightNetwork(others, allocation=allocation)
