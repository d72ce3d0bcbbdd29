"""Mixup and CutMix: images and labels of two examples become one.

An example is mixed with the next one of its batch, the last with the first:
batches are in random order already, so the next is as good as any other, and a
worker that has some rows of a batch needs only one more.
"""

import typing

import tensorflow as tf


class Mix(typing.NamedTuple):
    """What was drawn for each of `n` examples."""

    weights: tf.Tensor  # (n,) float32, the part that is left of the example
    cuts: tf.Tensor  # (n,) bool, whether a box is put in, or all is mixed
    centres: tf.Tensor  # (n, 2) float32, where the box lies, from 0 to 1


def draw(num_examples, mixup, cutmix, key):
    """Draws how much of each example is left, `Beta(alpha, alpha)`.

    Both papers draw for a whole batch, so that one multiplication does; here
    each example has a weight of its own, which the sizes of batches and shards
    do not change. With both on, a fair coin decides for each example.

    Args:
        num_examples: int, `n`.
        mixup, cutmix: floats, the alpha of each; 0 for off, not both.
        key: int tensor `(2,)`.

    Returns:
        `Mix`.
    """
    mixup_key, cutmix_key, coin_key, centre_key = tf.unstack(
        tf.random.split(key, 4)
    )
    chance = 0.5 if mixup and cutmix else float(cutmix > 0)
    cuts = tf.random.stateless_uniform([num_examples], coin_key) < chance
    # Alpha 1 in place of one that is off: nothing takes its numbers.
    whole = _beta(num_examples, mixup or 1.0, mixup_key)
    boxed = _beta(num_examples, cutmix or 1.0, cutmix_key)
    return Mix(
        weights=tf.where(cuts, boxed, whole),
        cuts=cuts,
        centres=tf.random.stateless_uniform([num_examples, 2], centre_key),
    )


def mix(images, labels, drawn):
    """Mixes each example with the one after it.

    Mixup [1] adds `weight` times the image and the rest of the next one; CutMix
    [2] puts a box of the next one, with `1 - weight` of the area, into the
    image, as far as the box lies inside. Labels are added with the same
    weights, for a box those of the areas that are seen.

    Args:
        images: float tensor `(b + 1, height, width, channels)`.
        labels: float tensor `(b + 1, num_classes)`.
        drawn: `Mix` of the same `b + 1`.

    Returns:
        `(images, labels)` of the first `b` examples.

    References:
        - [1] [Zhang et al., 2018](https://arxiv.org/abs/1710.09412), section 2
        - [2] [Yun et al., 2019](https://arxiv.org/abs/1905.04899), section 3
    """
    weights, cuts, centres = (values[:-1] for values in drawn)
    height, width = images.shape[1:3]
    rows = _covered(centres[:, 0], weights, height)
    columns = _covered(centres[:, 1], weights, width)
    box = rows[:, :, None] & columns[:, None, :]
    # The part of each pixel that is left of the first image.
    left = tf.where(
        cuts[:, None, None],
        tf.cast(~box, tf.float32),
        tf.broadcast_to(weights[:, None, None], tf.shape(box)),
    )
    part = tf.reduce_mean(left, axis=[1, 2])[:, None]
    left = left[..., None]
    return (
        left * images[:-1] + (1.0 - left) * images[1:],
        part * labels[:-1] + (1.0 - part) * labels[1:],
    )


def _covered(centres, weights, length):
    """Which of the rows, or columns, a box of CutMix takes: (b, length)."""
    size = tf.sqrt(1.0 - weights) * length
    size = tf.cast(size, tf.int32)  # rounded down, as the centre is
    centre = tf.cast(centres * length, tf.int32)
    offset = tf.range(length) - (centre - size // 2)[:, None]
    # As many pixels on either side of the centre: an odd box has one less.
    return (offset >= 0) & (offset < (size // 2 * 2)[:, None])


def _beta(num_examples, alpha, key):
    """Draws from `Beta(alpha, alpha)`, float32 `(n,)`.

    As `x / (x + y)` of two gamma variables, in logarithms: for a small alpha
    both may be too small to be told from 0. A gamma variable of shape `alpha`
    is one of shape `alpha + 1` times `u ** (1 / alpha)`, `u` uniform.
    """
    gamma_key, power_key = tf.unstack(tf.random.split(key, 2))
    shape = [num_examples, 2]
    gamma = tf.random.stateless_gamma(shape, gamma_key, alpha + 1.0)
    # From above 0 up to 1: its logarithm is finite.
    uniform = 1.0 - tf.random.stateless_uniform(shape, power_key)
    logs = tf.math.log(gamma) + tf.math.log(uniform) / alpha
    return tf.sigmoid(logs[:, 0] - logs[:, 1])
