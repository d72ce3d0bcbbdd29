"""Steps compiled by XLA equal uncompiled ones for all generated kernels."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_superweights as ksw
from keras_superweights import parts
from keras_superweights.members.allocating import describe
from keras_superweights.members.skeleton import skeletons
from keras_superweights.metrics import predict_members
from keras_superweights.search import GradientRecorder
from keras_superweights.sharing import Shapeshifter
from tests.training.networks import compiled
from tests.training.networks import shared


def conv_net(width):
    inputs = keras.Input((4, 4, 2))
    x = keras.layers.Conv2D(width, 3, padding="same")(inputs)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(3)(x))


def sentence_net():
    """Kernels of 240, 36 and 48 scalars."""
    inputs = keras.Input((4,), dtype="int32")
    x = keras.layers.Embedding(40, 6)(inputs)
    x = keras.layers.MultiHeadAttention(2, 3)(x, x)
    x = keras.layers.Dense(8, kernel_regularizer="l2")(x)
    x = keras.layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, keras.layers.Dense(3)(x))


def superweights():
    return shared([conv_net(4), conv_net(6)], 0.9, weight_decay=1e-3)


def masked():
    """Masks one kernel larger than the store; the others mix embeddings."""
    return ksw.share(sentence_net(), 400, Shapeshifter(mixing="emb"))


def interpolated():
    """Resizes four templates to all shapes, as learning stores does."""
    models = skeletons(sentence_net())
    return ksw.SuperWeightNetwork(
        models,
        allocation=Shapeshifter().allocate_pretraining(describe(models), 250),
    )


def batch_of(network):
    draw = np.random.default_rng(0)
    shape = (8, *network.members[0].input_shape[1:])
    if len(shape) == 4:
        x = draw.normal(size=shape).astype("float32")
    else:
        x = draw.integers(0, 10, shape)
    return x, draw.integers(0, 3, 8)


def trained(make, jit_compile, recorder=None, optimizer=None):
    """Returns the network after three steps, their losses, and the recorder."""
    keras.utils.set_random_seed(1)
    network = make()
    optimizer = optimizer or keras.optimizers.SGD(0.1, momentum=0.9)
    compiled(network, optimizer, jit_compile=jit_compile)
    assert network.jit_compile == jit_compile
    if recorder:
        recorder = recorder(network.generator)
        network.record_gradients(recorder)
    batch = batch_of(network)
    losses = [
        network.train_on_batch(*batch, return_dict=True)["loss"]
        for _ in range(3)
    ]
    return network, np.array(losses), recorder


@pytest.mark.parametrize("make", [masked, interpolated])
def test_compiled_steps_equal_uncompiled_ones(make):
    plain, expected, _ = trained(make, False)
    fast, losses, _ = trained(make, True)
    np.testing.assert_allclose(losses, expected, atol=1e-4)
    for one, other in zip(plain.get_weights(), fast.get_weights(), strict=True):
        np.testing.assert_allclose(other, one, atol=1e-4)
    assert np.ptp(expected) > 1e-3


def test_the_cases_upsample_and_mix_in_every_way():
    used = []
    for make in (masked, interpolated):
        allocation = make().allocation
        used.append({type(s.mixing) for s in allocation.superweights})
        used.append({type(each) for each in allocation.transforms})
    assert used == [
        {parts.Average, parts.Embedded},
        {parts.Mask},
        {parts.WeightedSum},
        {parts.Bilinear},
    ]


def test_compiled_recording_evaluation_and_prediction_equal_uncompiled_ones():
    """Also with the condition on overflows of loss scaling."""
    found = []
    for jit_compile in (False, True):
        network, losses, recorder = trained(
            superweights,
            jit_compile,
            lambda generator: GradientRecorder(generator, sketch_size=32),
            keras.optimizers.LossScaleOptimizer(
                keras.optimizers.SGD(0.1), initial_scale=1024.0
            ),
        )
        x, y = batch_of(network)
        data = tf.data.Dataset.from_tensors((x, y))
        logits, _ = predict_members(network, data)
        logs = network.evaluate(x, y, verbose=0)
        found.append([losses, logs, *logits, *network.get_weights()])
        found[-1] += [g for grams in recorder.grams() for g in grams.values()]
        found[-1] += recorder.coefficient_gradients()
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-4)
    assert max(np.abs(found[0][-1]).ravel()) > 1e-3
