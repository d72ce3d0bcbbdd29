"""Crops that bring images to one size, for training and for evaluation.

An image is given as uint8 pixels `(height, width, channels)` or as the bytes
of its file, a string; crops are uint8 pixels. Of a JPEG file, only the
requested window is decoded.
"""

import math

import tensorflow as tf

_AREAS = (0.08, 1.0)
_RATIOS = (3 / 4, 4 / 3)
_TRIES = 10
_CENTRAL = 0.875  # 224 of 256 pixels
# The result of most image decoders; TensorFlow's default is off by several grey
# levels in a file of high quality.
_ACCURATE = "INTEGER_ACCURATE"


def decode(image, channels):
    """Returns the pixels of a whole image."""
    if image.dtype == tf.uint8:
        return image
    return tf.cond(
        tf.io.is_jpeg(image),
        lambda: tf.io.decode_jpeg(image, channels, dct_method=_ACCURATE),
        lambda: tf.io.decode_image(image, channels, expand_animations=False),
    )


def decode_exactly(image, shape):
    """Decodes an image; `tf.data` raises an error for any other shape."""
    image = decode(image, shape[-1])
    same = tf.reduce_all(tf.shape(image) == shape)
    told = tf.debugging.Assert(
        same,
        [f"Images must have the shape {shape}. Received:", tf.shape(image)],
    )
    with tf.control_dependencies([told]):
        return tf.ensure_shape(tf.identity(image), shape)


def inception_crop(image, height, width, channels, key):
    """Cuts a window of random area, ratio and place, and resizes it.

    The crop of [Szegedy et al., 2015](https://arxiv.org/abs/1409.4842),
    section 6, from random numbers drawn with `key`, an int tensor `(2,)`; see
    `inception_window`. Returns uint8 `(height, width, channels)`.
    """
    numbers = tf.random.stateless_uniform([2 * _TRIES + 2], key)
    window = inception_window(
        *_size(image),
        areas=numbers[:_TRIES],
        ratios=numbers[_TRIES:-2],
        place=numbers[-2:],
    )
    return _resize(_cut(image, window, channels), height, width)


def inception_window(height, width, areas, ratios, place):
    """Returns the window for random numbers from 0 to 1.

    The areas stand for 8 to 100 % of the image, the ratios for a width of 3/4
    to 4/3 of the height, where a ratio is as likely as its inverse. The window
    is the first pair that fits into the image; if none does, it is the largest
    window of an allowed ratio, in the middle.

    Takes the size of the image, int32 scalars, the numbers `(tries,)` of areas
    and ratios, and `place`, the vertical and horizontal position, `(2,)`.
    Returns top, left, height and width, int32 `(4,)`.
    """

    def spread(numbers, low, high):
        return low + numbers * (high - low)

    def whole(numbers):
        return tf.cast(tf.round(numbers), tf.int32)

    area = spread(areas, *_AREAS) * tf.cast(height * width, tf.float32)
    ratio = tf.exp(spread(ratios, *map(math.log, _RATIOS)))
    sizes = whole(tf.sqrt(tf.stack([area / ratio, area * ratio], axis=1)))
    sizes = tf.maximum(sizes, 1)  # (tries, 2), height and width
    fits = tf.reduce_all(sizes <= [height, width], axis=1)
    allowed = tf.minimum(
        [height, width],
        whole(
            [
                tf.cast(width, tf.float32) / _RATIOS[0],
                tf.cast(height, tf.float32) * _RATIOS[1],
            ]
        ),
    )
    size = tf.cond(
        tf.reduce_any(fits), lambda: sizes[tf.argmax(fits)], lambda: allowed
    )
    room = [height, width] - size
    place = tf.where(tf.reduce_any(fits), place, 0.5)
    corner = tf.floor(place * tf.cast(room + 1, tf.float32))
    # The product may be rounded up to `room + 1`, which is excluded.
    corner = tf.minimum(tf.cast(corner, tf.int32), room)
    return tf.concat([corner, size], axis=0)


def central_crop(image, size, channels):
    """Resizes the shorter side to `size / 0.875` and cuts out the middle.

    Returns uint8 `(size, size, channels)`.
    """
    image = decode(image, channels)
    height, width = _size(image)
    shorter = round(size / _CENTRAL)
    scale = shorter / tf.minimum(height, width)  # float64

    def scaled(side):
        return tf.cast(tf.round(scale * tf.cast(side, tf.float64)), tf.int32)

    height, width = scaled(height), scaled(width)
    image = _resize(image, height, width)
    window = [(height - size) // 2, (width - size) // 2, size, size]
    return tf.ensure_shape(
        _cut(image, window, channels), (size, size, channels)
    )


def _size(image):
    """Returns height and width, int32 scalars, of pixels or bytes."""
    if image.dtype == tf.uint8:
        return tf.unstack(tf.shape(image)[:2])

    def decoded():
        return tf.shape(tf.io.decode_image(image, expand_animations=False))

    shape = tf.cond(
        tf.io.is_jpeg(image), lambda: tf.io.extract_jpeg_shape(image), decoded
    )
    return tf.unstack(shape[:2])


def _cut(image, window, channels):
    """Returns the pixels of a window `(top, left, height, width)`."""
    top, left, height, width = tf.unstack(window)

    def cut_pixels():
        pixels = decode(image, channels)
        return pixels[top : top + height, left : left + width]

    def cut_file():
        return tf.io.decode_and_crop_jpeg(
            image, window, channels, dct_method=_ACCURATE
        )

    if image.dtype == tf.uint8:
        return cut_pixels()
    return tf.cond(tf.io.is_jpeg(image), cut_file, cut_pixels)


def _resize(image, height, width):
    """Resizes bilinearly, with antialiasing where the image shrinks."""
    image = tf.image.resize(image, (height, width), antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)
