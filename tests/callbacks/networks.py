"""Small networks and data that the tests of callbacks share."""

import keras
import numpy as np

from tests.builders import perceptron

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(16, 5)).astype("float32")
Y = DRAW.integers(0, 3, 16)


def member(width=4, depth=3):
    """A perceptron of 5 inputs and 3 classes."""
    return perceptron(width, depth)


def compiled(network, optimizer=None, metrics=None):
    network.compile(
        optimizer or keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=metrics,
        jit_compile=False,
    )
    return network
