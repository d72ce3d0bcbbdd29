"""The wide residual network for ImageNet, as a plain Keras model."""

import keras

from keras_superweights.models import arguments
from keras_superweights.models.convolutions import convolution
from keras_superweights.models.convolutions import normalized
from keras_superweights.models.convolutions import normalized_relu
from keras_superweights.models.convolutions import pooled_logits


def wide_resnet_50_2(
    num_classes=1000, input_shape=(224, 224, 3), name="wide_resnet_50_2"
):
    """Builds WRN-50-2: a ResNet-50 whose 3x3 convolutions are twice as wide.

    A 7x7 convolution to 64 channels with stride 2, BN-ReLU and 3x3 max pooling
    with stride 2 are followed by four stages of 3, 4, 6 and 3 bottlenecks, with
    256, 512, 1024 and 2048 output channels and strides 1, 2, 2 and 2. A
    bottleneck is a 1x1, a 3x3 and a 1x1 convolution, each followed by batch
    normalization; the first two have half as many channels as its output (a
    quarter in ResNet-50). ReLU follows the first two and the sum with the
    input. The first bottleneck of a stage strides in its 3x3 convolution, and
    its shortcut is a 1x1 convolution with batch normalization. The network
    ends with global average pooling and one dense layer without activation.

    It has 68,883,240 trainable parameters with 1000 classes, and 66,834,240
    without its head. See `keras_superweights.models` for what all models have
    in common.

    Args:
        num_classes: Number of logits. Defaults to 1000.
        input_shape: `(height, width, channels)` of an image of at least 32x32
            pixels, with `None` for sizes that vary. Defaults to
            `(224, 224, 3)`.
        name: Name of the model. Defaults to `"wide_resnet_50_2"`.

    Returns:
        A Functional `keras.Model` from images `(batch, *input_shape)` to
        logits `(batch, num_classes)`, with layers such as `"stem"`,
        `"stage1_block0_conv2"`, `"stage2_block0_shortcut"` and `"head"`.

    Raises:
        TypeError: If `num_classes` is not an integer.
        ValueError: If it is not positive, or `input_shape` does not fit.

    Example:

    >>> model = wide_resnet_50_2()
    >>> sum(v.shape.num_elements() for v in model.trainable_variables)
    68883240

    References:
        - Zagoruyko and Komodakis, Wide Residual Networks (BMVC 2016), the
          ImageNet experiments of section 3: https://arxiv.org/abs/1605.07146
        - He et al., Deep Residual Learning for Image Recognition (CVPR 2016),
          table 1: https://arxiv.org/abs/1512.03385
    """
    arguments.check_positive_integers(num_classes=num_classes)
    inputs = arguments.image_input(input_shape, smallest=32)

    x = convolution(inputs, 64, kernel_size=7, strides=2, name="stem")
    x = normalized_relu(x, "stem")
    x = keras.layers.MaxPooling2D(3, 2, padding="same", name="stem_pool")(x)
    for stage, blocks in enumerate((3, 4, 6, 3), start=1):
        filters = 128 * 2**stage
        for block in range(blocks):
            strides = 2 if stage > 1 and block == 0 else 1
            x = _block(x, filters, strides, name=f"stage{stage}_block{block}")
    outputs = pooled_logits(x, num_classes)
    return keras.Model(inputs, outputs, name=name)


def _block(x, filters, strides, name):
    shortcut = x
    if x.shape[-1] != filters:
        shortcut = convolution(x, filters, 1, strides, name=f"{name}_shortcut")
        shortcut = normalized(shortcut, name=f"{name}_shortcut_norm")
    x = convolution(x, filters // 2, 1, name=f"{name}_conv1")
    x = normalized_relu(x, name, index=1)
    x = convolution(x, filters // 2, 3, strides, name=f"{name}_conv2")
    x = normalized_relu(x, name, index=2)
    x = convolution(x, filters, 1, name=f"{name}_conv3")
    x = normalized(x, name=f"{name}_norm3")
    x = keras.layers.Add(name=f"{name}_add")([shortcut, x])
    return keras.layers.ReLU(name=f"{name}_relu3")(x)
