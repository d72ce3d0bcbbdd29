"""Keras' convolutions."""

import keras

from keras_superweights.layers.registry import register

for layer_class in (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
):
    register(layer_class, {"kernel": "conv"})

register(keras.layers.Conv2DTranspose, {"kernel": "conv_transpose"})

for layer_class in (
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
):
    register(layer_class, {"kernel": "depthwise"})

for layer_class in (
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
):
    register(
        layer_class,
        {"depthwise_kernel": "depthwise", "pointwise_kernel": "conv"},
    )
