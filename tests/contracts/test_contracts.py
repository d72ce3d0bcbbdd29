"""What holds for every layer, part, rule and kind of ensemble.

A new one without a case here fails the first test.
"""

import json
import math
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_superweights import ensembles
from keras_superweights import parts
from keras_superweights import sharing
from keras_superweights.allocation import Allocation
from keras_superweights.allocation.part import Part
from keras_superweights.layers import GENERATED
from keras_superweights.layers import GeneratedKernel
from keras_superweights.layers import walk
from tests.contracts import cases

PROGRAM = pathlib.Path(__file__).with_name("replicas_program.py")

every_case = pytest.mark.parametrize("name", cases.CASES)


def public_classes(module, base):
    return {
        each
        for each in vars(module).values()
        if isinstance(each, type)
        and issubclass(each, base)
        and each is not base
    }


def test_everything_has_a_case():
    networks = [cases.build(name) for name in cases.CASES]
    made = {type(network.ensemble) for network in networks}
    assert made == public_classes(ensembles, ensembles.EnsembleKind)
    rules = {type(rule) for _, _, rule, _ in cases.CASES.values()}
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
        if isinstance(layer, GeneratedKernel)
    }
    of_keras = {
        generated
        for layer, generated in GENERATED.items()
        if layer.__module__.startswith("keras.")
    }
    assert of_keras <= layers


@every_case
def test_the_budget_is_kept_and_the_table_adds_up(name):
    allocation = cases.allocate(name)
    network = cases.build(name)
    scalars = sum(math.prod(v.shape) for v in network.trainable_variables)
    assert scalars == allocation.num_params <= allocation.budget_params
    assert f"{scalars:,} trainable scalars" in str(allocation)


@every_case
def test_it_is_written_as_json_and_read_again(name):
    allocation = cases.allocate(name)
    text = allocation.to_json()
    assert Allocation.from_json(text) == allocation
    assert Allocation.from_json(text).to_json() == text


@every_case
def test_it_is_saved_and_loaded_and_trains_on_alike(name, tmp_path):
    network = cases.build(name)
    x, y = cases.batch(network)
    network.train_on_batch(x, y)
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    loaded.run_eagerly = True
    np.testing.assert_array_equal(loaded(x), network(x))
    for each in (network, loaded):
        each.train_on_batch(x, y)
    np.testing.assert_allclose(loaded(x), network(x), rtol=1e-6, atol=1e-6)


@every_case
def test_it_becomes_plain_models_that_answer_the_same(name):
    network = cases.build(name)
    x, _ = cases.batch(network)
    for plain, output in zip(
        network.materialize(), network.member_outputs(x), strict=True
    ):
        assert not any(isinstance(v, GeneratedKernel) for _, v in walk(plain))
        np.testing.assert_allclose(plain(x), output, rtol=1e-5, atol=1e-5)


@every_case
def test_a_frozen_layer_keeps_what_is_its_own_and_teaches_nothing(name):
    network = cases.build(name)
    x, y = cases.batch(network)
    shared = network.members[0].layers[:-1]
    for layer in shared:
        layer.trainable = False
    cases.compiled(network)
    own = [np.array(v) for layer in shared for v in layer.weights]
    alone = len(network.members) == 1
    stores = [np.array(bank.store) for bank in network.generator.banks]
    network.train_on_batch(x, y)
    for before, variable in zip(
        own, (v for layer in shared for v in layer.weights), strict=True
    ):
        np.testing.assert_array_equal(before, variable)
    if alone:  # nobody is left to teach the banks
        for before, bank in zip(stores, network.generator.banks, strict=True):
            np.testing.assert_array_equal(before, bank.store)


@every_case
def test_a_traced_step_equals_an_eager_one(name):
    weights = []
    for run_eagerly in (True, False):
        network = cases.build(name, run_eagerly)
        x, y = cases.batch(network)
        network.train_on_batch(x, y)
        weights.append(network.get_weights())
    for eager, traced in zip(*weights, strict=True):
        np.testing.assert_allclose(traced, eager, rtol=1e-4, atol=1e-5)


@every_case
def test_members_of_half_precision_share_banks_of_single(name):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = cases.build(name)
    finally:
        keras.config.set_dtype_policy(policy)
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


@pytest.fixture(scope="module")
def replicas():
    """For each case, how far two replicas end from one."""
    ran = subprocess.run(
        [sys.executable, PROGRAM],
        cwd=PROGRAM.parents[2],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    return json.loads(ran.stdout.splitlines()[-1])


@every_case
def test_two_replicas_end_as_one(name, replicas):
    assert replicas[name] < 1e-5
