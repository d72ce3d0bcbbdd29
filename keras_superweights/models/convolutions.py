"""Layers that the convolutional models share."""

import keras


def convolution(x, filters, kernel_size, strides=1, *, name):
    return keras.layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)


def normalized(x, name):
    return keras.layers.BatchNormalization(
        momentum=0.9, epsilon=1e-5, name=name
    )(x)


def normalized_relu(x, place, index=""):
    x = normalized(x, f"{place}_norm{index}")
    return keras.layers.ReLU(name=f"{place}_relu{index}")(x)


def pooled_logits(x, num_classes):
    """Adds global average pooling and one dense layer in float32."""
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.layers.Dense(num_classes, dtype="float32", name="head")(x)
