"""VGG11 for small images, as a plain Keras model."""

import keras

from keras_superweights.models import arguments
from keras_superweights.models.convolutions import convolution
from keras_superweights.models.convolutions import normalized_relu
from keras_superweights.models.convolutions import pooled_logits


def vgg11(num_classes=10, input_shape=(32, 32, 3), name="vgg11"):
    """Builds VGG11 with batch normalization, in its usual form for CIFAR.

    Eight 3x3 convolutions with BN-ReLU, in five stages of 64, 128, 256, 512
    and 512 channels: the first two stages have one, the others two. Every stage
    ends with 2x2 max pooling of stride 2, which reduces 32x32 pixels to one.
    One dense layer without activation follows, instead of the paper's three.
    Smaller images stop shrinking at one pixel; for larger ones, the mean over
    the last pixels is taken.

    It has 9,228,362 trainable parameters with 10 classes. Versions with biases
    in the convolutions, which have no effect before batch normalization, have
    2,752 more. See `keras_superweights.models` for what all models have in
    common.

    Args:
        num_classes: Number of logits. Defaults to 10.
        input_shape: `(height, width, channels)` of one image, with `None` for
            sizes that vary. Defaults to CIFAR's `(32, 32, 3)`.
        name: Name of the model. Defaults to `"vgg11"`.

    Returns:
        A Functional `keras.Model` from images `(batch, *input_shape)` to
        logits `(batch, num_classes)`, with layers such as `"stage1_conv1"`,
        `"stage3_conv2"` and `"head"`.

    Raises:
        TypeError: If `num_classes` is not an integer.
        ValueError: If it is not positive, or `input_shape` is not an image.

    Example:

    >>> model = vgg11()
    >>> sum(v.shape.num_elements() for v in model.trainable_variables)
    9228362

    References:
        - Simonyan and Zisserman, Very Deep Convolutional Networks for
          Large-Scale Image Recognition (ICLR 2015), table 1, column A:
          https://arxiv.org/abs/1409.1556
    """
    arguments.check_positive_integers(num_classes=num_classes)
    inputs = arguments.image_input(input_shape, smallest=1)

    x = inputs
    stages = ((64, 1), (128, 1), (256, 2), (512, 2), (512, 2))
    for stage, (filters, convolutions) in enumerate(stages, start=1):
        place = f"stage{stage}"
        for index in range(1, convolutions + 1):
            x = convolution(x, filters, 3, name=f"{place}_conv{index}")
            x = normalized_relu(x, place, index)
        pool = f"{place}_pool"
        x = keras.layers.MaxPooling2D(2, padding="same", name=pool)(x)
    outputs = pooled_logits(x, num_classes)
    return keras.Model(inputs, outputs, name=name)
