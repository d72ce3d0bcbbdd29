"""Mixup and CutMix, which mix the images and labels of two examples.

An example is mixed with the next one of its batch, the last one with the
first. Batches are already in random order, so the next one is as good as any
other, and a worker needs only one row besides its own.
"""

import typing

import tensorflow as tf


class Mix(typing.NamedTuple):
    """The random numbers of `n` examples."""

    weights: tf.Tensor  # (n,) float32, the remaining part of the example
    cuts: tf.Tensor  # (n,) bool, whether to use CutMix, not mixup
    centres: tf.Tensor  # (n, 2) float32, centre of the box, from 0 to 1


def draw(num_examples, mixup, cutmix, key):
    """Draws the weight of each example from `Beta(alpha, alpha)`.

    Both papers draw one weight per batch; here every example has its own, which
    does not depend on the sizes of batches and shards. `mixup` and `cutmix` are
    the alphas, of which at most one is 0, for off; with both methods on, a fair
    coin chooses one for each example. `key` is an int tensor `(2,)`.
    """
    mixup_key, cutmix_key, coin_key, centre_key = tf.unstack(
        tf.random.split(key, 4)
    )
    chance = 0.5 if mixup and cutmix else float(cutmix > 0)
    cuts = tf.random.stateless_uniform([num_examples], coin_key) < chance
    # If one is off, its numbers are not used, and alpha 1 is as good as any.
    whole = _beta(num_examples, mixup or 1.0, mixup_key)
    boxed = _beta(num_examples, cutmix or 1.0, cutmix_key)
    return Mix(
        weights=tf.where(cuts, boxed, whole),
        cuts=cuts,
        centres=tf.random.stateless_uniform([num_examples, 2], centre_key),
    )


def mix(images, labels, drawn):
    """Mixes each example with the one after it.

    Mixup [1] returns `weight * image + (1 - weight) * next_image`. CutMix [2]
    replaces a box with `1 - weight` of the area by pixels of the next image; a
    box that lies partly outside of the image is cropped. Labels are mixed with
    the same weights; for CutMix, those of the visible areas.

    Takes `b + 1` float images `(height, width, channels)`, float labels
    `(num_classes,)` and draws; returns the first `b` images and labels.

    References:
        - [1] [Zhang et al., 2018](https://arxiv.org/abs/1710.09412), section 2
        - [2] [Yun et al., 2019](https://arxiv.org/abs/1905.04899), section 3
    """
    weights, cuts, centres = (values[:-1] for values in drawn)
    height, width = images.shape[1:3]
    rows = _covered(centres[:, 0], weights, height)
    columns = _covered(centres[:, 1], weights, width)
    box = rows[:, :, None] & columns[:, None, :]
    # The weight of the first image at each pixel.
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
    """Returns which rows or columns a box of CutMix covers, (b, length)."""
    size = tf.sqrt(1.0 - weights) * length
    size = tf.cast(size, tf.int32)  # rounded down, as the centre is
    centre = tf.cast(centres * length, tf.int32)
    offset = tf.range(length) - (centre - size // 2)[:, None]
    # Equally many pixels on either side of the centre: odd sizes lose one.
    return (offset >= 0) & (offset < (size // 2 * 2)[:, None])


def _beta(num_examples, alpha, key):
    """Draws from `Beta(alpha, alpha)`, float32 `(n,)`.

    Computes `x / (x + y)` for two gamma variables, in logarithms, since both
    may underflow to 0 for a small alpha. A gamma variable of shape `alpha` is
    one of shape `alpha + 1` times `u ** (1 / alpha)`, with `u` uniform.
    """
    gamma_key, power_key = tf.unstack(tf.random.split(key, 2))
    shape = [num_examples, 2]
    gamma = tf.random.stateless_gamma(shape, gamma_key, alpha + 1.0)
    # In (0, 1]: its logarithm is finite.
    uniform = 1.0 - tf.random.stateless_uniform(shape, power_key)
    logs = tf.math.log(gamma) + tf.math.log(uniform) / alpha
    return tf.sigmoid(logs[:, 0] - logs[:, 1])
