"""Contracts of every layer, part, rule and kind of ensemble.

A new one without a case here fails the first test.
"""

import functools
import math
import types

import keras
import numpy as np
import pytest

from keras_superweights import ensembles
from keras_superweights import parts
from keras_superweights import sharing
from keras_superweights.allocation.part import Part
from keras_superweights.layers import GENERATED
from keras_superweights.layers import GeneratedKernel
from keras_superweights.layers import walk
from tests.builders import dtype_policy
from tests.contracts import cases

# Those that XLA compiles, too: together all that mix and upsample.
COMPILED = ("embeddings", "interpolated", "masked")

every_case = pytest.mark.parametrize("name", cases.CASES)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Returns a case's network after two steps, and how it was after each."""
    directory = tmp_path_factory.mktemp("networks")

    @functools.cache
    def train(name):
        network = cases.build(name)
        x, y = cases.batch(network)
        case = types.SimpleNamespace(network=network, x=x, y=y)
        case.outputs, case.weights = [], []
        case.path = directory / f"{name}.keras"
        for step in range(2):
            network.train_on_batch(x, y)
            case.outputs.append(np.array(network(x)))
            case.weights.append(network.get_weights())
            if step == 0:
                network.save(case.path)
        return case

    return train


def public_classes(module, base):
    found = [each for each in vars(module).values() if isinstance(each, type)]
    return {each for each in found if issubclass(each, base)} - {base}


def test_everything_has_a_case(trained):
    networks = [trained(name).network for name in cases.CASES]
    made = {type(network.ensemble) for network in networks}
    assert made == public_classes(ensembles, ensembles.EnsembleKind)
    rules = {type(rule) for rule, *_ in cases.CASES.values()}
    assert rules == public_classes(sharing, sharing.Rule)
    used = set()
    for network in networks:
        allocation = network.allocation
        used |= {type(each) for each in allocation.transforms}
        for each in allocation.superweights:
            used |= {type(each.geometry), type(each.mixing)}
    assert used == public_classes(parts, Part)
    layers = {
        type(layer)
        for network in networks
        for member in network.members
        for _, layer in walk(member)
    }
    assert layers >= {
        generated
        for layer, generated in GENERATED.items()
        if layer.__module__.startswith("keras.")
    }


@every_case
def test_the_budget_is_kept_and_the_table_adds_up(name, trained):
    network = trained(name).network
    allocation = cases.allocate(name)
    scalars = sum(math.prod(v.shape) for v in network.trainable_variables)
    assert scalars == allocation.num_params <= allocation.budget_params
    assert f"{scalars:,} trainable scalars" in str(allocation)
    assert network.allocation.superweights == allocation.superweights


@every_case
def test_it_is_saved_and_loaded_and_trains_on_alike(name, trained):
    case = trained(name)
    loaded = keras.models.load_model(case.path)
    loaded.run_eagerly = True
    kind = case.network.ensemble
    assert loaded.allocation == case.network.allocation
    assert type(loaded.ensemble) is type(kind)
    assert loaded.ensemble.get_config() == kind.get_config()
    np.testing.assert_array_equal(loaded(case.x), case.outputs[0])
    loaded.train_on_batch(case.x, case.y)
    np.testing.assert_allclose(
        loaded(case.x), case.outputs[1], rtol=1e-6, atol=1e-6
    )


@every_case
def test_it_becomes_plain_models_that_answer_the_same(name, trained):
    case = trained(name)
    models = case.network.materialize()
    for plain in models:
        assert not any(isinstance(v, GeneratedKernel) for _, v in walk(plain))
    for own, output in zip(
        case.network.ensemble.outputs(models, case.x),
        case.network.member_outputs(case.x),
        strict=True,
    ):
        np.testing.assert_allclose(own, output, rtol=1e-5, atol=1e-5)


@every_case
def test_a_frozen_layer_keeps_its_own_weights_and_teaches_nothing(name):
    network = cases.build(name)
    x, y = cases.batch(network)
    frozen = network.members[0].layers[:-1]
    for layer in frozen:
        layer.trainable = False
    cases.compiled(network)
    kept = [v for layer in frozen for v in layer.weights]
    if len(network.members) == 1:  # no other layer teaches the banks
        kept += [bank.store for bank in network.generator.banks]
    before = [np.array(v) for v in kept]
    network.train_on_batch(x, y)
    for value, variable in zip(before, kept, strict=True):
        np.testing.assert_array_equal(value, variable)


@every_case
def test_a_traced_step_equals_an_eager_one(name, trained):
    case = trained(name)
    network = cases.build(name, jit_compile=name in COMPILED)
    network.train_on_batch(case.x, case.y)
    for eager, traced in zip(
        case.weights[0], network.get_weights(), strict=True
    ):
        np.testing.assert_allclose(traced, eager, rtol=1e-4, atol=1e-5)


@every_case
def test_members_of_half_precision_share_banks_of_single(name):
    with dtype_policy("mixed_bfloat16"):
        network = cases.build(name)
    x, y = cases.batch(network)
    before = [np.array(v) for v in network.trainable_variables]
    logs = network.train_on_batch(x, y, return_dict=True)
    assert math.isfinite(logs["loss"])
    assert {v.dtype for v in network.generator.trainable_variables} <= {
        "float32"
    }
    moved = [
        np.abs(np.array(v) - b).max() > 0
        for v, b in zip(network.trainable_variables, before, strict=True)
    ]
    assert sum(moved) > len(moved) / 2
    assert all(np.isfinite(np.array(v)).all() for v in network.weights)


@pytest.mark.parametrize("name", ["masked", "repeated", "interpolated"])
def test_members_of_float16_with_a_scaled_loss_stay_finite(name):
    with dtype_policy("mixed_float16"):
        network = cases.build(name)
    x, y = cases.batch(network)
    for _ in range(3):
        network.train_on_batch(x, y)
    assert all(np.isfinite(np.array(v)).all() for v in network.weights)
