"""Densely connected networks for small images, as plain Keras models."""

import keras

from keras_superweights.models import arguments
from keras_superweights.models.convolutions import convolution
from keras_superweights.models.convolutions import normalized_relu
from keras_superweights.models.convolutions import pooled_logits


def densenet_bc(
    depth, growth, num_classes=10, input_shape=(32, 32, 3), name=None
):
    """Builds the CIFAR network DenseNet-BC with `depth` layers.

    A 3x3 convolution to `2 * growth` channels, then three blocks of `n` layers,
    where `depth = 6 * n + 4`. A layer is BN-ReLU and a 1x1 convolution to
    `4 * growth` channels (the B, bottleneck), BN-ReLU and a 3x3 convolution to
    `growth` channels, which are appended to its input. Between two blocks are
    BN-ReLU, a 1x1 convolution to half as many channels (the C, compression)
    and 2x2 average pooling. The network ends with BN-ReLU, global average
    pooling and one dense layer without activation.

    Trainable parameters with 10 classes, here and in the paper (table 2):

        depth  growth   parameters   paper
          100      12      769,162    0.8M
          250      24   15,324,406   15.3M
          190      40   25,624,430   25.6M

    There is no dropout, as in the paper's runs with augmented data. See
    `keras_superweights.models` for what all models have in common.

    Args:
        depth: `6 * n + 4` with `n >= 1`: 10, 16, ..., 100, 190, ...
        growth: Number of channels that a layer appends, `k` in the paper.
        num_classes: Number of logits. Defaults to 10.
        input_shape: `(height, width, channels)` of an image of at least 4x4
            pixels, with `None` for sizes that vary. Defaults to CIFAR's
            `(32, 32, 3)`.
        name: Name of the model. Defaults to `"densenet_bc_{depth}_{growth}"`.

    Returns:
        A Functional `keras.Model` from images `(batch, *input_shape)` to
        logits `(batch, num_classes)`, with layers such as `"stem"`,
        `"block1_layer0_conv1"`, `"transition1_conv"` and `"head"`.

    Raises:
        TypeError: If a number is not an integer.
        ValueError: If the depth is not `6 * n + 4`, another number is not
            positive, or `input_shape` does not fit.

    Example:

    >>> model = densenet_bc(190, 40)
    >>> sum(v.shape.num_elements() for v in model.trainable_variables)
    25624430

    References:
        - Huang et al., Densely Connected Convolutional Networks (CVPR 2017),
          section 3 and table 2: https://arxiv.org/abs/1608.06993
    """
    arguments.check_depth(depth)
    arguments.check_positive_integers(growth=growth, num_classes=num_classes)
    inputs = arguments.image_input(input_shape, smallest=4)

    x = convolution(inputs, 2 * growth, kernel_size=3, name="stem")
    for block in (1, 2, 3):
        if block > 1:
            x = _transition(x, name=f"transition{block - 1}")
        for layer in range((depth - 4) // 6):
            x = _layer(x, growth, name=f"block{block}_layer{layer}")
    x = normalized_relu(x, "final")
    outputs = pooled_logits(x, num_classes)
    name = name or f"densenet_bc_{depth}_{growth}"
    return keras.Model(inputs, outputs, name=name)


def _layer(x, growth, name):
    new = normalized_relu(x, name, index=1)
    new = convolution(new, 4 * growth, 1, name=f"{name}_conv1")
    new = normalized_relu(new, name, index=2)
    new = convolution(new, growth, 3, name=f"{name}_conv2")
    return keras.layers.Concatenate(name=f"{name}_concat")([x, new])


def _transition(x, name):
    channels = x.shape[-1] // 2
    x = normalized_relu(x, name)
    x = convolution(x, channels, 1, name=f"{name}_conv")
    return keras.layers.AveragePooling2D(2, name=f"{name}_pool")(x)
