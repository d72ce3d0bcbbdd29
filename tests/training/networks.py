"""Small networks that the tests of training start from."""

import pathlib

import keras
import numpy as np

import keras_superweights as ksw
from keras_superweights import sharing

ROOT = pathlib.Path(__file__).parents[2]
CLASSES = 3


def small_net(
    width=4, depth=3, hidden=6, name=None, regularizer=None, batch_norm=True
):
    """Convolutions of several shapes, batch norm, a dense layer, a head."""
    inputs = keras.Input((6, 6, 2))
    x = inputs
    for index in range(depth):
        x = keras.layers.Conv2D(
            width * (1 + index // 2),
            3,
            padding="same",
            use_bias=index == 0,
            kernel_regularizer=regularizer,
            name=f"conv{index}",
        )(x)
        if batch_norm:
            x = keras.layers.BatchNormalization(name=f"norm{index}")(x)
        x = keras.layers.Activation("tanh")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(hidden, activation="tanh", name="hidden")(x)
    outputs = keras.layers.Dense(CLASSES, name="head")(x)
    return keras.Model(inputs, outputs, name=name)


def batch_of(size=8, seed=0):
    draw = np.random.default_rng(seed)
    images = draw.normal(size=(size, 6, 6, 2)).astype("float32")
    return images, draw.integers(0, CLASSES, size)


def crossentropy():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def compiled(network, optimizer=None, **kwargs):
    """Eager unless told otherwise: for a few steps, tracing costs more."""
    network.compile(
        optimizer or keras.optimizers.SGD(1.0),
        crossentropy(),
        metrics=["accuracy"],
        **(kwargs or {"run_eagerly": True}),
    )
    return network


MEMBERS = {
    "one": [lambda: small_net()],
    "equal": [lambda: small_net(), lambda: small_net()],
    "wide and deep": [lambda: small_net(6, 2, 4), lambda: small_net(4, 4, 8)],
}


RULES = {
    "depth": (sharing.SuperWeights(depth_bins=1), 0.8),
    "tied": (sharing.SuperWeights(depth_bins=1, tied=True), 0.8),
    "mixture": (sharing.MixtureEnsembles(mix_single_layers=True), 1.2),
    "round robin": (sharing.MixtureEnsembles(max_templates=2), 1.2),
    "one store": (sharing.MixtureEnsembles(), 0.62),
    "flat": (sharing.Shapeshifter(), 0.8),
    "hard": (sharing.HardSharing("deep", "both"), 1.0),
    "independent": (sharing.Independent(), 1.0),
}


def shared(members, budget_params=0.8, **kwargs):
    return ksw.SuperWeightNetwork(
        members, budget_params, sharing.SuperWeights(depth_bins=1), **kwargs
    )
