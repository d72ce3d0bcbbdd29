"""Networks and files that the tests of exports share."""

import keras
import numpy as np
from keras import layers

ALL_OF_ONE = ["model.keras", "model.saved_model", "model.tflite"]


def randomized(network):
    """Moves every number of a network, batch statistics included."""
    random = np.random.default_rng(1)
    for variable in network.variables:
        if keras.backend.is_float_dtype(variable.dtype):
            noise = random.uniform(0.9, 1.1, variable.shape)
            shift = random.uniform(0.0, 0.01, variable.shape)
            variable.assign(variable * noise + shift)
    return network


def dense(*widths, name="dense"):
    inner = [layers.Dense(width, "relu") for width in widths]
    return keras.Sequential(
        [keras.Input((6,)), *inner, layers.Dense(3)], name=name
    )


def names(directory):
    return sorted(path.name for path in directory.iterdir())
