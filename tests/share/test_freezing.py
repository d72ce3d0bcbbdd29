"""Layers that are frozen, in a model or in its network."""

import math

import numpy as np
import pytest

import keras_superweights as ksw
from keras_superweights.keras_internals import flat_layers
from keras_superweights.layers import GeneratedKernel
from keras_superweights.layers import walk
from tests.share.models import assert_same_outputs
from tests.share.models import attention
from tests.share.models import batch
from tests.share.models import compiled
from tests.share.models import nested
from tests.share.models import reloaded
from tests.share.models import text


@pytest.mark.parametrize("build", [text, nested], ids=lambda b: b.__name__)
def test_layers_frozen_in_the_network_teach_nothing(build):
    x, y, arguments = batch(build)
    network = ksw.share(build(), 0.6)
    outputs = network(x)
    for _, layer in walk(network.members[0]):
        layer.trainable = not isinstance(layer, GeneratedKernel)
    compiled(network, arguments, "sgd")
    assert_same_outputs(network(x), outputs, atol=0)
    stores = [bank.store for bank in network.generator.banks]
    before = [np.array(store) for store in stores]
    head = np.array(network.members[0].get_layer("label").get_weights()[-1])
    network.train_on_batch(x, y)
    for store, values in zip(stores, before, strict=True):
        np.testing.assert_array_equal(store, values)
    after = network.members[0].get_layer("label").get_weights()[-1]
    assert np.any(after != head)


def frozen_paths(network):
    return [p for p, each in walk(network.members[0]) if not each.trainable]


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (text, ["both/forward_layer", "both/forward_layer/cell"]),
        # The second has no weight of its own.
        (nested, ["body/twice", "body/block1_expand"]),
        (attention, ["attention/_query_dense"]),
    ],
    ids=["wrapper", "nested", "attention"],
)
def test_what_is_frozen_inside_is_saved(build, expected, tmp_path):
    x, y, arguments = batch(build)
    network = ksw.share(build(), 0.6)
    for path, layer in walk(network.members[0]):
        if path in expected:
            layer.trainable = False
    compiled(network, arguments)
    network.train_on_batch(x, y)
    loaded = reloaded(network, tmp_path)
    assert frozen_paths(loaded) == frozen_paths(network) == expected
    assert [v.shape for v in loaded.trainable_variables] == [
        v.shape for v in network.trainable_variables
    ]
    # One of its layers trained again, within what is frozen.
    network.members[0].trainable = False
    network.members[0].get_layer("label").trainable = True
    compiled(network, arguments)
    loaded = reloaded(network, tmp_path)
    assert loaded.members[0].get_layer("label").trainable
    assert frozen_paths(loaded) == frozen_paths(network)


@pytest.mark.parametrize(
    ("build", "freeze"),
    [
        (text, lambda model: model.get_layer("both").backward_layer),
        (text, lambda model: model.get_layer("both")),
        (text, lambda model: model.get_layer("embedding")),
        (nested, lambda model: model.get_layer("body").get_layer("twice")),
        (nested, lambda model: model.get_layer("body")),
        (attention, lambda model: model.get_layer("each").layer),
        (attention, lambda model: model.get_layer("attention")),
        (attention, lambda model: model.get_layer("attention")._key_dense),
    ],
)
def test_what_is_frozen_in_the_model_keeps_its_values(build, freeze, tmp_path):
    x, _, _ = batch(build)
    model = build()
    layer = freeze(model)
    layer.trainable = False
    expected = layer.get_weights()
    assert expected
    network = ksw.share(model, 0.9)
    count = sum(math.prod(v.shape) for v in network.trainable_variables)
    assert count == network.allocation.num_params
    loaded = reloaded(network, tmp_path)
    plain = network.materialize()[0]
    for each in (network.members[0], loaded.members[0], plain):
        inner = flat_layers(freeze(each))
        assert not any(isinstance(layer, GeneratedKernel) for layer in inner)
        found = freeze(each).get_weights()
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)
    assert_same_outputs(plain(x), network(x))
