"""Augmentations of a batch of images, and the random numbers they need.

Drawing and applying are separate: `draw` makes the numbers of a whole epoch
from one key, and the other functions are deterministic. An augmented image
therefore depends on the seed, the epoch and the example only.
"""

import typing

import tensorflow as tf


class Draws(typing.NamedTuple):
    """The random numbers of `n` examples."""

    corners: tf.Tensor  # (n, 2) int32, row and column of the crop, 0..2 * pad
    flips: tf.Tensor  # (n,) bool, whether to swap left and right
    centres: tf.Tensor  # (n, 2) int32, row and column of the cutout's centre
    crop_keys: tf.Tensor  # (n, 2) int32, one key each for `inception_crop`


def draw(num_examples, image_shape, pad, key):
    """Draws all random numbers of one epoch, uniformly, from the key `(2,)`.

    All are drawn, used or not, each kind from its own key: switching on one
    augmentation does not change another. `pad` is that of `pad_and_crop`.
    """
    height, width = image_shape[:2]
    corner_key, flip_key, row_key, column_key, crop_key = tf.unstack(
        tf.random.split(key, 5)
    )

    def integers(key, shape, limit):
        return tf.random.stateless_uniform(
            shape, key, minval=0, maxval=limit, dtype=tf.int32
        )

    rows = integers(row_key, [num_examples], height)
    columns = integers(column_key, [num_examples], width)
    return Draws(
        corners=integers(corner_key, [num_examples, 2], 2 * pad + 1),
        flips=integers(flip_key, [num_examples], 2) == 1,
        centres=tf.stack([rows, columns], axis=1),
        crop_keys=integers(crop_key, [num_examples, 2], tf.int32.max),
    )


def pad_and_crop(images, corners, pad):
    """Adds a border of `pad` black pixels and cuts the original size out.

    Images are `(b, height, width, channels)`; corners, int32 `(b, 2)`, are the
    upper left ones of the crops in the padded images, from 0 to `2 * pad`.
    """
    height, width = images.shape[1:3]
    images = tf.pad(images, [[0, 0], [pad, pad], [pad, pad], [0, 0]])
    rows = corners[:, :1] + tf.range(height)  # (b, height)
    columns = corners[:, 1:] + tf.range(width)  # (b, width)
    images = tf.gather(images, rows, axis=1, batch_dims=1)
    return tf.gather(images, columns, axis=2, batch_dims=1)


def flip(images, flips):
    """Mirrors the images whose entry in `flips` is true from left to right."""
    columns = tf.range(images.shape[2])
    columns = tf.where(flips[:, None], columns[::-1], columns)  # (b, width)
    # Takes a third of the time of choosing between images and mirror images.
    return tf.gather(images, columns, axis=2, batch_dims=1)


def cutout(images, centres, size):
    """Sets a square of `size` pixels per side to zero, in all channels.

    The square of an image, `(b, height, width, channels)`, starts at
    `centre - size // 2`, with int32 centres `(b, 2)`, row and column; what lies
    outside of the image is dropped, as in
    [DeVries & Taylor, 2017](https://arxiv.org/abs/1708.04552), section 3. On
    normalised images zero is the mean colour.
    """

    def covered(centre, length):  # (b,), int -> (b, length)
        offset = tf.range(length) - (centre[:, None] - size // 2)
        return (offset >= 0) & (offset < size)

    rows = covered(centres[:, 0], images.shape[1])
    columns = covered(centres[:, 1], images.shape[2])
    square = rows[:, :, None, None] & columns[:, None, :, None]
    return images * tf.cast(~square, images.dtype)


def normalize(images, mean, deviation):
    """Returns `(images / 255 - mean) / deviation`, float32, per channel.

    Images are uint8; `mean` and `deviation` have one float per channel, on the
    scale 0..1.
    """
    # One multiplication and one addition per pixel.
    scale = [1.0 / (255.0 * d) for d in deviation]
    offset = [-m / d for m, d in zip(mean, deviation, strict=True)]
    return tf.cast(images, tf.float32) * scale + offset


def smooth_labels(labels, num_classes, smoothing):
    """Returns `(1 - smoothing) * one_hot(labels) + smoothing / num_classes`.

    The result is float32 `(b, num_classes)`; see
    [Szegedy et al., 2016](https://arxiv.org/abs/1512.00567), section 7.
    """
    rest = smoothing / num_classes
    return tf.one_hot(labels, num_classes) * (1.0 - smoothing) + rest
