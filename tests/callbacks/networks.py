"""Small networks and data that the tests of callbacks share."""

import keras
import numpy as np

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(16, 5)).astype("float32")
Y = DRAW.integers(0, 3, 16)


def member(width=4, depth=3):
    """A perceptron of 5 inputs and 3 classes."""
    inputs = keras.Input((5,))
    x = inputs
    for index in range(depth):
        x = keras.layers.Dense(width, activation="tanh", name=f"d{index}")(x)
    return keras.Model(inputs, keras.layers.Dense(3, name="head")(x))


def compiled(network, optimizer=None, metrics=None):
    network.compile(
        optimizer or keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=metrics,
        jit_compile=False,
    )
    return network
