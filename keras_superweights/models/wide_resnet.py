"""Wide residual networks for small images, as plain Keras models."""

import keras


def wide_resnet(
    depth,
    width,
    num_classes=10,
    input_shape=(32, 32, 3),
    name=None,
):
    """Builds the CIFAR wide residual network WRN-`depth`-`width`.

    A 3x3 convolution to 16 channels, then three stages of `n` residual blocks
    with `16 * width`, `32 * width` and `64 * width` channels and strides 1, 2
    and 2, where `depth = 6 * n + 4`. A block is BN-ReLU-conv twice, added to
    its input. Where the shape changes, the input of the shortcut is the
    block's first BN-ReLU, sent through a 1x1 convolution. At the end come
    BN-ReLU, global average pooling and one dense layer without activation.

    The model consists of Keras' own layers only. Convolutions have no bias and
    start He-normal. Batch normalization has momentum 0.9 and epsilon 1e-5, the
    values of the paper's code (Torch writes that momentum as 0.1). Strided
    convolutions use Keras' `"same"` padding, which at even sizes adds its row
    and column of zeros at the end, where Torch adds them at the beginning. The
    last layer computes in float32 under any dtype policy.

    Args:
        depth: Integer `6 * n + 4` with `n >= 1`: 10, 16, 22, 28, ...
        width: Positive integer, the factor of the number of channels.
        num_classes: Positive integer, the number of logits. Defaults to 10.
        input_shape: `(height, width, channels)` of one image. Height and width
            are at least 4 pixels, or `None` if they vary. Defaults to CIFAR's
            `(32, 32, 3)`.
        name: Name of the model. Defaults to `"wide_resnet_{depth}_{width}"`.

    Returns:
        A Functional `keras.Model` from images `(batch, *input_shape)` to
        logits `(batch, num_classes)`. Its layers are named after their place:
        `"stem"`, `"stage1_block0_conv1"`, `"stage2_block0_shortcut"`,
        `"head"`, ...

    Raises:
        TypeError: If `depth`, `width` or `num_classes` is not an integer.
        ValueError: If the depth is not `6 * n + 4`, a number is not positive,
            or `input_shape` is not that of an image of at least 4x4 pixels.

    Example:

    >>> model = wide_resnet(28, 10, num_classes=100)
    >>> sum(v.shape.num_elements() for v in model.trainable_variables)
    36536884

    References:
        - Zagoruyko and Komodakis, Wide Residual Networks (BMVC 2016), table 1
          and section 2: https://arxiv.org/abs/1605.07146
    """
    _check_positive_integer("depth", depth)
    _check_positive_integer("width", width)
    _check_positive_integer("num_classes", num_classes)
    _check_depth(depth)
    input_shape = _checked_input_shape(input_shape)

    inputs = keras.Input(input_shape, name="images")
    x = _convolution(inputs, 16, kernel_size=3, name="stem")
    for stage in (1, 2, 3):
        filters = 16 * width * 2 ** (stage - 1)
        for block in range((depth - 4) // 6):
            strides = 2 if stage > 1 and block == 0 else 1
            x = _block(x, filters, strides, name=f"stage{stage}_block{block}")
    x = _normalized_relu(x, norm_name="final_norm", relu_name="final_relu")
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    outputs = keras.layers.Dense(num_classes, dtype="float32", name="head")(x)
    if name is None:
        name = f"wide_resnet_{depth}_{width}"
    return keras.Model(inputs, outputs, name=name)


def _block(x, filters, strides, name):
    activated = _normalized_relu(x, f"{name}_norm1", f"{name}_relu1")
    shortcut = x
    if strides != 1 or x.shape[-1] != filters:
        shortcut = _convolution(
            activated, filters, 1, strides, name=f"{name}_shortcut"
        )
    x = _convolution(activated, filters, 3, strides, name=f"{name}_conv1")
    x = _normalized_relu(x, f"{name}_norm2", f"{name}_relu2")
    x = _convolution(x, filters, 3, name=f"{name}_conv2")
    return keras.layers.Add(name=f"{name}_add")([shortcut, x])


def _convolution(x, filters, kernel_size, strides=1, *, name):
    return keras.layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)


def _normalized_relu(x, norm_name, relu_name):
    x = keras.layers.BatchNormalization(
        momentum=0.9, epsilon=1e-5, name=norm_name
    )(x)
    return keras.layers.ReLU(name=relu_name)(x)


def _check_positive_integer(argument, value):
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(
            f"`{argument}` must be an integer. Received: {argument}={value!r}."
        )
    if value < 1:
        raise ValueError(
            f"`{argument}` must be at least 1. Received: {argument}={value}."
        )


def _check_depth(depth):
    if depth >= 10 and depth % 6 == 4:
        return
    below = (depth - 4) // 6 * 6 + 4
    nearest = f"{below} or {below + 6}" if below >= 10 else "10"
    raise ValueError(
        "`depth` must be 6 * n + 4 with n >= 1, since each of the three "
        "stages has n blocks of two convolutions. "
        f"Received: depth={depth}; the nearest valid depth is {nearest}."
    )


def _checked_input_shape(input_shape):
    shape = tuple(input_shape)
    if (
        len(shape) != 3
        or shape[2] is None
        or shape[2] < 1
        or any(size is not None and size < 4 for size in shape[:2])
    ):
        raise ValueError(
            "`input_shape` must be (height, width, channels) with height and "
            "width of at least 4 pixels. "
            f"Received: input_shape={input_shape}."
        )
    return shape
