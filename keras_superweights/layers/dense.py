"""Keras' dense layers; those of attention are `EinsumDense`."""

import math

import keras

from keras_superweights.layers.registry import register


def _summed_axes(layer):
    """Counts the scalars that an einsum adds up in one output."""
    operands, output = layer.equation.split("->")
    axes = operands.split(",")[1].strip()
    shape = layer.kernel.shape
    return math.prod(
        size
        for axis, size in zip(axes, shape, strict=True)
        if axis not in output
    )


register(keras.layers.Dense, {"kernel": "dense"})
register(keras.layers.EinsumDense, {"kernel": "dense"}, _summed_axes)
