"""Wide residual networks for small images, as plain Keras models."""

import keras

from keras_superweights.models import arguments
from keras_superweights.models.convolutions import convolution
from keras_superweights.models.convolutions import normalized_relu
from keras_superweights.models.convolutions import pooled_logits


def wide_resnet(
    depth, width, num_classes=10, input_shape=(32, 32, 3), name=None
):
    """Builds the CIFAR wide residual network WRN-`depth`-`width`.

    A 3x3 convolution to 16 channels, then three stages of `n` residual blocks
    with `16 * width`, `32 * width` and `64 * width` channels and strides 1, 2
    and 2, where `depth = 6 * n + 4`. A block is BN-ReLU-conv twice, added to
    its input. Where the shape changes, the shortcut is a 1x1 convolution of
    the block's first BN-ReLU. The network ends with BN-ReLU, global average
    pooling and one dense layer without activation. See
    `keras_superweights.models` for what all models have in common.

    Args:
        depth: `6 * n + 4` with `n >= 1`: 10, 16, 22, 28, ...
        width: Factor of the number of channels.
        num_classes: Number of logits. Defaults to 10.
        input_shape: `(height, width, channels)` of an image of at least 4x4
            pixels, with `None` for sizes that vary. Defaults to CIFAR's
            `(32, 32, 3)`.
        name: Name of the model. Defaults to `"wide_resnet_{depth}_{width}"`.

    Returns:
        A Functional `keras.Model` from images `(batch, *input_shape)` to
        logits `(batch, num_classes)`, with layers such as `"stem"`,
        `"stage1_block0_conv1"`, `"stage2_block0_shortcut"` and `"head"`.

    Raises:
        TypeError: If a number is not an integer.
        ValueError: If the depth is not `6 * n + 4`, another number is not
            positive, or `input_shape` does not fit.

    Example:

    >>> model = wide_resnet(28, 10, num_classes=100)
    >>> sum(v.shape.num_elements() for v in model.trainable_variables)
    36536884

    References:
        - Zagoruyko and Komodakis, Wide Residual Networks (BMVC 2016), table 1
          and section 2: https://arxiv.org/abs/1605.07146
    """
    arguments.check_depth(depth)
    arguments.check_positive_integers(width=width, num_classes=num_classes)
    inputs = arguments.image_input(input_shape, smallest=4)

    x = convolution(inputs, 16, kernel_size=3, name="stem")
    for stage in (1, 2, 3):
        filters = 16 * width * 2 ** (stage - 1)
        for block in range((depth - 4) // 6):
            strides = 2 if stage > 1 and block == 0 else 1
            x = _block(x, filters, strides, name=f"stage{stage}_block{block}")
    x = normalized_relu(x, "final")
    outputs = pooled_logits(x, num_classes)
    name = name or f"wide_resnet_{depth}_{width}"
    return keras.Model(inputs, outputs, name=name)


def _block(x, filters, strides, name):
    activated = normalized_relu(x, name, index=1)
    shortcut = x
    if strides != 1 or x.shape[-1] != filters:
        shortcut = convolution(
            activated, filters, 1, strides, name=f"{name}_shortcut"
        )
    x = convolution(activated, filters, 3, strides, name=f"{name}_conv1")
    x = normalized_relu(x, name, index=2)
    x = convolution(x, filters, 3, name=f"{name}_conv2")
    return keras.layers.Add(name=f"{name}_add")([shortcut, x])
