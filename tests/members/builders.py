"""Models with layers of all kinds."""

import keras


def everything():
    """One layer of every kind, shareable or not."""
    layers = keras.layers
    images = keras.Input((8, 8, 4), name="images")
    x = layers.Conv2D(4, 3, padding="same", name="conv")(images)
    x = layers.Conv2D(4, 3, padding="same", groups=2, name="grouped")(x)
    x = layers.Conv2D(4, 3, padding="same", dilation_rate=2, name="dilated")(x)
    x = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = layers.SeparableConv2D(4, 3, padding="same", name="separable")(x)
    x = layers.Conv2DTranspose(4, 3, padding="same", name="transposed")(x)
    x = layers.Conv2D(4, 1, kernel_constraint="non_neg", name="constrained")(x)
    frozen = layers.Conv2D(4, 1, name="frozen")
    frozen.trainable = False
    x = frozen(x)
    twice = layers.Dense(4, name="twice")
    x = twice(twice(x))
    x = keras.Sequential(
        [keras.Input((8, 8, 4)), layers.Conv2D(4, 1, name="inside")],
        name="nested",
    )(x)
    y = layers.Reshape((4, 4, 4, 4))(x)
    y = layers.Conv3D(4, 2, padding="same", name="conv3d")(y)
    y = layers.Reshape((64, 4))(y)
    y = layers.Conv1D(4, 3, padding="causal", name="conv1d")(y)
    y = layers.Flatten()(y)
    y = layers.Dense(6, use_bias=False, name="dense")(y)
    return keras.Model(images, layers.Dense(3, name="head")(y))


def sequences(*layers, features=4, classes=3):
    """A model of layers on sequences, with a head."""
    inputs = keras.Input((5, features))
    x = inputs
    for layer in layers:
        x = layer(x)
    x = keras.layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, keras.layers.Dense(classes, name="head")(x))
