"""Counts of a training step equal what networks have."""

import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_superweights as ksw
from keras_superweights.planning import plan_training
from keras_superweights.sharing import HardSharing
from keras_superweights.sharing import MixtureEnsembles
from keras_superweights.sharing import Shapeshifter
from keras_superweights.sharing import SuperWeights
from tests.planning.networks import num_bytes
from tests.planning.networks import two_convs

ROOT = pathlib.Path(__file__).parents[2]


def sentence_net(dtype):
    inputs = keras.Input((4,), dtype="int32")
    x = keras.layers.Embedding(30, 6, dtype=dtype)(inputs)
    x = keras.layers.MultiHeadAttention(2, 3, dtype=dtype)(x, x)
    x = keras.layers.LSTM(6, dtype=dtype)(x)
    return keras.Model(inputs, keras.layers.Dense(3, dtype="float32")(x))


def one_sentence(dtype):
    return [sentence_net(dtype)]


BILINEAR = Shapeshifter(upsampling="bilinear")
CASES = {
    "nested": (two_convs, "float32", 0.8, SuperWeights()),
    "mixed": (two_convs, "mixed_bfloat16", 0.8, MixtureEnsembles()),
    "more than alone": (two_convs, "bfloat16", 3.0, MixtureEnsembles()),
    "hard": (two_convs, "mixed_bfloat16", 1.0, HardSharing()),
    "masks": (one_sentence, "float32", 0.3, Shapeshifter()),
    "embedded": (one_sentence, "mixed_float16", 2.0, Shapeshifter("emb")),
    "bilinear": (one_sentence, "mixed_bfloat16", 0.3, BILINEAR),
}


def planned(name, optimizer="sgd"):
    """The members of a case, their allocation and its plan."""
    make, dtype, budget, rule = CASES[name]
    models = make(dtype)
    allocation = ksw.allocate(models, budget, rule)
    return models, allocation, plan_training(models, allocation, optimizer)


def applied_gradients(network):
    """The gradients of an eager step of a compiled network."""
    applied = []
    apply_gradients = network.optimizer.apply_gradients

    def keep(pairs):
        pairs = list(pairs)
        applied.extend(tf.convert_to_tensor(gradient) for gradient, _ in pairs)
        return apply_gradients(pairs)

    network.optimizer.apply_gradients = keep
    shape = (2, *network.members[0].input_shape[1:])
    network.train_on_batch(np.ones(shape, "int32"), np.zeros(2, int))
    return applied


@pytest.mark.parametrize("name", CASES)
def test_counts_equal_those_of_a_network(name):
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    models, allocation, plan = planned(name, optimizer)
    assert not optimizer.built

    network = ksw.SuperWeightNetwork(models, allocation=allocation)
    network.compile(
        optimizer,
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        run_eagerly=True,
    )
    shared = plan.shared
    assert shared.gradients == num_bytes(applied_gradients(network))
    assert shared.parameters == num_bytes(network.trainable_variables)
    assert shared.slots == num_bytes(network.optimizer.variables)
    assert shared.untrained == num_bytes(network.non_trainable_variables)
    assert shared.statistics == num_bytes(network._statistics())
    generator = network.generator
    mixed = [
        vectors
        for vectors, mixture in zip(
            generator.superweights(), generator.mixtures, strict=True
        )
        if mixture is not None
    ]
    assert shared.generated == num_bytes(mixed)
    assert shared.largest == max((num_bytes([p]) for p in mixed), default=0)

    alone = plan.alone
    trained = [v for model in models for v in model.trainable_variables]
    assert alone.parameters == alone.gradients == num_bytes(trained)
    assert alone.untrained == num_bytes(
        v for model in models for v in model.non_trainable_variables
    )
    optimizer = type(network.optimizer).from_config(
        network.optimizer.get_config()
    )
    optimizer.build(trained)
    assert alone.slots == num_bytes(optimizer.variables)
    assert alone.generated == alone.kernel_gradients == alone.statistics == 0


def test_copies_are_counted_where_layers_make_them():
    """In half precision everything; else what is assembled or upsampled."""
    models, allocation, plan = planned("mixed")
    cast = [
        v
        for model in models
        for layer in model.layers[:-1]  # the head is float32
        for v in layer.trainable_variables
    ]
    assert plan.alone.copies == plan.shared.copies == num_bytes(cast) // 2
    assert plan.shared.kept == 0

    _, allocation, plan = planned("nested")
    assembled = [
        kernel.size
        for kernel, parts in zip(
            allocation.kernels, allocation.composition, strict=True
        )
        if len(parts) > 1
    ]
    assert plan.shared.copies == 4 * sum(assembled) > 0
    assert 0 < plan.shared.kept < plan.shared.generated

    # The upsampled kernel, and the masks that it is multiplied by.
    _, allocation, plan = planned("masks")
    masked = {
        kernel
        for transform in allocation.transforms
        for kernel in transform.kernels
    }
    scalars = sum(allocation.kernels[kernel].size for kernel in masked)
    assert plan.shared.copies == 2 * 4 * scalars > 0


@pytest.mark.parametrize("name", ["nested", "more than alone"])
def test_ivon_applies_two_gradients_and_reads_samples(name):
    optimizer = ksw.optimizers.IVON(0.1, ess=4)
    models, allocation, plan = planned(name, optimizer)
    _, _, without = planned(name)
    network = ksw.SuperWeightNetwork(models, allocation=allocation)
    network.compile(
        optimizer,
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        run_eagerly=True,
    )
    assert plan.shared.gradients == num_bytes(applied_gradients(network))
    assert plan.shared.slots == num_bytes(network.optimizer.variables)
    for one, other in (
        (plan.shared, without.shared),
        (plan.alone, without.alone),
    ):
        assert one.copies == other.copies + other.parameters


def test_bad_input_is_refused():
    models = two_convs("float32")
    allocation = ksw.allocate(models, 1.2, Shapeshifter())
    with pytest.raises(ValueError, match="`num_workers`.*=0"):
        plan_training(models, allocation, num_workers=0)
    with pytest.raises(ValueError, match="`allocation` was made for 2"):
        plan_training(models[0], allocation)
    with pytest.raises(ValueError, match="`allocation` does not fit"):
        plan_training(models[::-1], allocation)


def test_predicted_memory_is_within_a_fifth_of_measured_memory():
    # Allocators return freed memory at once, so that resident memory is in use.
    environment = {
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "MALLOC_MMAP_THRESHOLD_": "65536",
    }
    run = subprocess.run(
        [sys.executable, "-m", "tests.planning.memory_program"],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    measured, predicted = map(int, run.stdout.split())
    assert measured > 100e6
    assert predicted == pytest.approx(measured, rel=0.2)
