"""Networks whose training is planned, and the bytes of what they have."""

import math

import keras
import tensorflow as tf


def num_bytes(tensors):
    return sum(
        math.prod(tensor.shape) * tf.as_dtype(tensor.dtype).size
        for tensor in tensors
    )


def conv_net(width, dtype):
    """With statistics, random states, and a layer that is not trained."""
    inputs = keras.Input((4, 4, 2))
    x = keras.layers.Conv2D(2, 1, dtype=dtype, trainable=False)(inputs)
    for size in (width, width, 2 * width, 2 * width):
        x = keras.layers.Conv2D(size, 3, padding="same", dtype=dtype)(x)
    x = keras.layers.BatchNormalization(dtype=dtype)(x)
    x = keras.layers.BatchNormalization(dtype=dtype, trainable=False)(x)
    x = keras.layers.Dropout(0.5, dtype=dtype)(x)
    x = keras.layers.GlobalAveragePooling2D(dtype=dtype)(x)
    return keras.Model(inputs, keras.layers.Dense(3, dtype="float32")(x))


def two_convs(dtype):
    return [conv_net(4, dtype), conv_net(3, dtype)]
