"""Records on one replica and on two logical CPUs; prints how far apart.

A program of its own: a process holds one MirroredStrategy, and logical
devices are set before any tensor is made. Prints one line of JSON.
"""

import json
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import contextlib

import keras
import numpy as np
import tensorflow as tf

import keras_superweights as ksw
from keras_superweights.search import GradientRecorder
from keras_superweights.search import find_clusters
from keras_superweights.search.similarity import weight_similarity
from keras_superweights.sharing import SuperWeights

CPU = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    CPU, [tf.config.LogicalDeviceConfiguration() for _ in range(2)]
)


def member(width):
    inputs = keras.Input((5,))
    x = keras.layers.Dense(width, activation="tanh", name="one")(inputs)
    x = keras.layers.Dense(width, activation="tanh", name="two")(x)
    x = keras.layers.Dense(width, activation="tanh", name="three")(x)
    return keras.Model(inputs, keras.layers.Dense(3, name="head")(x))


def network_of(strategy, weights=None, learning_rate=0.0):
    keras.utils.set_random_seed(0)
    with strategy.scope() if strategy else contextlib.nullcontext():
        network = ksw.SuperWeightNetwork(
            [member(4), member(6)],
            budget_params=1.0,
            sharing=SuperWeights(depth_bins=2, tied=True),
        )
        network.compile(
            keras.optimizers.SGD(learning_rate, momentum=0.9),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=False,
        )
    if weights is not None:
        network.set_weights(weights)
    return network


def record(network, strategy):
    with strategy.scope() if strategy else contextlib.nullcontext():
        recorder = GradientRecorder(network.generator)
    network.record_gradients(recorder)
    network.fit(DATA, epochs=1, shuffle=False, verbose=0)
    network.record_gradients(None)
    return recorder


class Accumulators(keras.callbacks.Callback):
    """Counts the copies of what a callback records with."""

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 0:
            total = self.model._recorder._coefficients[0].value
            self.copies = len(getattr(total, "values", [total]))


def apart(one, other):
    """Largest difference, relative to the largest value."""
    scale = max(np.abs(a).max() for a in one)
    return max(
        float(np.abs(a - b).max()) / scale
        for a, b in zip(one, other, strict=True)
    )


def flat(grams):
    return [gram for boxes in grams for gram in boxes.values()]


draw = np.random.default_rng(0)
DATA = tf.data.Dataset.from_tensor_slices(
    (draw.normal(size=(24, 5)).astype("float32"), draw.integers(0, 3, 24))
).batch(8)

mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
plain = network_of(None)
weights = plain.get_weights()
double = network_of(mirrored, weights)
recorders = [record(plain, None), record(double, mirrored)]
grams = [recorder.grams() for recorder in recorders]
similarities = [
    [
        weight_similarity(plain.allocation, cluster, gram)
        for cluster in plain.allocation.clusters
    ]
    for gram in grams
]
result = {
    "replicas": mirrored.num_replicas_in_sync,
    "grams": apart(*map(flat, grams)),
    "similarities": apart(*similarities),
    "coefficients": apart(*[r.coefficient_gradients() for r in recorders]),
}

# `fit` is called outside the scope, as Keras allows.
ties = []
for strategy in (None, mirrored):
    network = network_of(strategy, weights, learning_rate=0.05)
    network.fit(
        DATA,
        epochs=2,
        shuffle=False,
        verbose=0,
        callbacks=[
            accumulators := Accumulators(),
            ksw.callbacks.CoefficientDecoupling(beta=0.3, epoch=1),
        ],
    )
    result[f"copies {bool(strategy)}"] = accumulators.copies
    ties.append([list(p.ties) for p in network.allocation.superweights])
    result[f"weights {bool(strategy)}"] = float(
        sum(np.abs(w).sum() for w in network.get_weights())
    )
result["ties"] = ties

found = []
for strategy in (None, mirrored):
    keras.utils.set_random_seed(1)
    with strategy.scope() if strategy else contextlib.nullcontext():
        found.append(
            find_clusters(
                [member(4), member(6)],
                2000,
                DATA,
                SuperWeights(depth_bins=1),
                pretrain_epochs=1,
                sketch_size=8,
                optimizer=keras.optimizers.SGD(0.05),
                verbose=0,
            )
        )
result["search"] = apart(*[f.similarities for f in found])
result["clusters"] = [f.allocation.clusters for f in found]
print(json.dumps(result))
