"""Tiny networks, what is recorded of them, and the same from plain Keras."""

import keras
import numpy as np
import tensorflow as tf

import keras_superweights as ksw
from keras_superweights.search import GradientRecorder
from keras_superweights.sharing import SuperWeights
from tests import builders

TIED = SuperWeights(depth_bins=1, tied=True)


def dense_net(width, unused=False):
    inputs = keras.Input((5,))
    x = keras.layers.Dense(width, activation="tanh", name="one")(inputs)
    x = keras.layers.Dense(width, activation="tanh", name="two")(x)
    if unused:
        branch = keras.layers.Dense(width, name="unused")(x)
        x = keras.layers.Add()([x, keras.layers.Rescaling(0.0)(branch)])
    return keras.Model(inputs, keras.layers.Dense(3, name="head")(x))


def conv_net(width):
    """Convolutions of nested and of partly overlapping boxes."""
    inputs = keras.Input((4, 4, 2))
    x = inputs
    for index, filters in enumerate((width, 2 * width, width)):
        x = keras.layers.Conv2D(
            filters, 3, padding="same", activation="tanh", name=f"conv{index}"
        )(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(3, name="head")(x))


def batches(shape, count=3, size=8):
    draw = np.random.default_rng(0)
    return [
        (
            draw.normal(size=(size, *shape)).astype("float32"),
            draw.integers(0, 3, size),
        )
        for _ in range(count)
    ]


def crossentropy():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def network_of(members, sharing=TIED, optimizer=None, budget=1.5, **kwargs):
    network = ksw.SuperWeightNetwork(
        members, budget_params=budget, sharing=sharing, **kwargs
    )
    network.compile(
        optimizer or keras.optimizers.SGD(0.0),
        crossentropy(),
        jit_compile=False,
        run_eagerly=True,
    )
    return network


def record(network, data, **kwargs):
    recorder = GradientRecorder(network.generator, **kwargs)
    network.record_gradients(recorder)
    for x, y in data:
        network.train_on_batch(x, y)
    network.record_gradients(None)
    return recorder


def plain_gradients(network, data):
    """Sums over the batches, one per kernel, of plain Keras models."""
    models = network.materialize()
    sums = []
    for spec in network.allocation.kernels:
        model = models[spec.member]
        kernel = model.get_layer(spec.layer).kernel
        total = np.zeros(spec.shape)
        for x, y in data:
            with tf.GradientTape() as tape:
                loss = crossentropy()(y, model(x, training=True))
            total += tape.gradient(loss, kernel.value).numpy()
        sums.append(total)
    return sums


def cropped_products(gradients):
    """Inner products on the box that two kernels have in common."""
    products = np.zeros((len(gradients), len(gradients)))
    for i, one in enumerate(gradients):
        for j, other in enumerate(gradients):
            if one.shape[:-2] == other.shape[:-2]:
                h, w = np.minimum(one.shape[-2:], other.shape[-2:])
                products[i, j] = np.sum(one[..., :h, :w] * other[..., :h, :w])
    return products


def recorded_products(allocation, grams):
    """The same of what was recorded: sums over common SuperWeights."""
    count = len(allocation.kernels)
    products = np.zeros((count, count))
    for superweight, boxes in zip(allocation.superweights, grams, strict=True):
        for row, i in enumerate(superweight.kernels):
            for column, j in enumerate(superweight.kernels):
                (a, b), (c, d) = (allocation.kernels[k].box for k in (i, j))
                gram = boxes.get((min(a, c), min(b, d)))
                if gram is not None:
                    products[i, j] += gram[row, column]
    return products


def assert_same_products(actual, expected, tolerance=1e-4):
    norms = np.sqrt(np.diag(expected))
    scale = np.maximum(np.outer(norms, norms), 1e-12)
    np.testing.assert_allclose(actual / scale, expected / scale, atol=tolerance)


def rows_of(allocation, superweight, gradients):
    """Gradients of its vectors: each kernel's part, zero outside its box."""
    rows = np.zeros((len(superweight.kernels), superweight.size))
    for row, kernel in zip(rows, superweight.kernels, strict=True):
        places = np.full(gradients[kernel].shape, np.nan)
        builders.paint(places, superweight.geometry, range(superweight.size))
        inside = ~np.isnan(places)
        row[places[inside].astype(int)] = gradients[kernel][inside]
    return rows
