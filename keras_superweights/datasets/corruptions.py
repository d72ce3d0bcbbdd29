"""Corruptions of images at five severities, without a download.

These are the corruptions of CIFAR-10-C [1] that need only the image, with the
published strengths for 32x32 images. Blur and pixelation are measured in
pixels, so they are harder on an 8x8 image. Three details differ: grey levels
are rounded, not cut off; images may have any number of channels (JPEG: one or
three); and all severities use the same seed, so a severer image has more of
(nearly) the same noise.

[1] Hendrycks & Dietterich, Benchmarking Neural Network Robustness to Common
Corruptions and Perturbations (ICLR 2019), https://arxiv.org/abs/1903.12261,
and its code, https://github.com/hendrycks/robustness.
"""

import numbers

import numpy as np
import tensorflow as tf

from keras_superweights.arguments import check_type
from keras_superweights.datasets.image_set import ImageSet

SEVERITIES = (1, 2, 3, 4, 5)

# Noise is drawn for this many images at once, fewer if they are large. This is
# not the batch size, which must not change the noise of an image.
_EXAMPLES_AT_ONCE = 500
_PIXELS_AT_ONCE = 2**19


def corrupt(images, corruption, severity, seed=0):
    """Corrupts a batch of images.

    Args:
        images: uint8 array-like `(batch, height, width, channels)`.
        corruption: One of `CORRUPTIONS`:

            - `"gaussian_noise"`: normal, deviation 0.04 to 0.10 of the range;
            - `"shot_noise"`: Poisson, 500 to 50 photons for white;
            - `"impulse_noise"`: 1 % to 7 % of the values, independently per
              channel, become 0 or 255;
            - `"gaussian_blur"`: deviation 0.4 to 1 pixels;
            - `"brightness"`: adds 0.05 to 0.3 of the range to the value of
              HSV, the largest channel; keeps hue and saturation;
            - `"contrast"`: keeps 0.75 to 0.15 of the distance from each
              image's mean colour;
            - `"pixelate"`: averages over a grid with 0.95 to 0.65 as many
              pixels per side, rounded to whole pixels. Small images may have
              the same grid at neighbouring severities, and the severer one
              need not be further from the image;
            - `"jpeg_compression"`: quality 80 to 40, chroma at half the
              resolution.
        severity: Integer from 1 to 5.
        seed: Integer seed of the noise, which is the same for every batch
            of one shape. Defaults to 0.

    Returns:
        A uint8 tensor like `images`.

    Raises:
        TypeError: If the images are not uint8.
        ValueError: If the images are not a batch of images, the corruption
            is unknown, the severity is not from 1 to 5, or images for JPEG do
            not have one or three channels.

    Example:

    >>> grey = np.full((1, 8, 8, 1), 100, np.uint8)
    >>> int(corrupt(grey, "brightness", severity=4)[0, 0, 0, 0])  # + 0.2 * 255
    151
    """
    if corruption not in CORRUPTIONS:
        raise ValueError(
            f"`corruption` must be one of {CORRUPTIONS}. "
            f"Received: corruption={corruption!r}."
        )
    _check_severity(severity)
    images = tf.convert_to_tensor(images)
    if images.dtype != tf.uint8:
        raise TypeError(
            "`images` must be uint8, from 0 to 255, not yet normalised. "
            f"Received: dtype {images.dtype.name}."
        )
    if images.shape.rank != 4:
        raise ValueError(
            "`images` must have the shape (batch, height, width, channels). "
            f"Received: shape {tuple(images.shape)}."
        )
    return _apply(
        images, corruption, severity, tf.constant([seed, 0], tf.int64)
    )


@tf.autograph.experimental.do_not_convert
def corrupted_test(pipeline, corruption, severity, seed=0):
    """Returns a corrupted copy of a pipeline's test split.

    Reads the corrupted set of tfds, `<set>_corrupted/<corruption>_<severity>`
    such as `"cifar10_corrupted/fog_3"`, if it is prepared in the pipeline's
    directory and has the same test split: papers report results on it.
    Otherwise corrupts the images while they are read.

    Args:
        pipeline: An `ImagePipeline`.
        corruption: One of `CORRUPTIONS`, or any other that is prepared.
        severity: Integer from 1 to 5.
        seed: Integer seed of generated noise. Defaults to 0.

    Returns:
        `(batches, source)`: a `tf.data.Dataset` like `pipeline.test()`, and the
        full name of the tfds set, or `"generated"`. The noise of an image does
        not depend on the batch size or the order of the corruptions.

    Raises:
        ValueError: If the corruption is neither in `CORRUPTIONS` nor
            prepared, or the severity is not from 1 to 5.

    Example:

    >>> pipeline = ImagePipeline(name="sklearn_digits", data_dir="data")
    >>> batches, source = corrupted_test(pipeline, "gaussian_noise", 3)
    >>> source
    'generated'
    """
    is_set = hasattr(pipeline, "set_name")
    check_type("pipeline", pipeline, is_set, "an `ImagePipeline`")
    _check_severity(severity)
    name = f"{pipeline.set_name}_corrupted/{corruption}_{severity}"
    corrupted = _prepared_with_split(name, pipeline)
    if corrupted is not None:
        indices = np.arange(corrupted.num_examples(pipeline.test_split))
        pixels = corrupted.in_order(
            pipeline.test_split, indices, pipeline.batch_size
        )
        source = corrupted.full_name
    elif corruption in CORRUPTIONS:
        pixels = _corrupted_pixels(pipeline, corruption, severity, seed)
        source = "generated"
    else:
        raise ValueError(
            f"`corruption` must be one of {CORRUPTIONS}, or prepared by tfds "
            f"as '{name}' in the directory of the pipeline, with the split "
            f"'{pipeline.test_split}'. Received: corruption={corruption!r}."
        )
    batches = pixels.map(
        pipeline.to_inputs, tf.data.AUTOTUNE, deterministic=True
    )
    return batches.prefetch(tf.data.AUTOTUNE), source


def _corrupted_pixels(pipeline, corruption, severity, seed):
    """Returns the batches of `pipeline.test_pixels`, corrupted."""

    def make_noise(block, examples):
        images, labels = examples
        key = tf.random.fold_in(tf.constant([seed, 1], tf.int64), block)
        return _apply(images, corruption, severity, key), labels

    height, width, _ = pipeline.image_shape
    block_size = min(
        _EXAMPLES_AT_ONCE, max(1, _PIXELS_AT_ONCE // (height * width))
    )
    return (
        pipeline.test_pixels()
        .unbatch()
        .batch(block_size)
        .enumerate()
        .map(make_noise, tf.data.AUTOTUNE, deterministic=True)
        .unbatch()
        .batch(pipeline.batch_size)
    )


def _prepared_with_split(name, pipeline):
    try:
        found = ImageSet(name, pipeline.data_dir, pipeline.label, pipeline.size)
        found.num_examples(pipeline.test_split)
    except (KeyError, ValueError):
        return None
    return found


def _apply(images, corruption, severity, key):
    function, strengths = _CORRUPTIONS[corruption]
    scaled = tf.cast(images, tf.float32) / 255.0
    changed = function(scaled, strengths[severity - 1], key)
    changed = tf.round(tf.clip_by_value(changed, 0.0, 1.0) * 255.0)
    return tf.cast(changed, tf.uint8)


def _check_severity(severity):
    if not isinstance(severity, numbers.Integral) or severity not in SEVERITIES:
        raise ValueError(
            f"`severity` must be one of {SEVERITIES}. "
            f"Received: severity={severity!r}."
        )


# Each function takes float images from 0 to 1, a strength and a key of two
# int64. Its result may leave that range.


def _gaussian_noise(images, deviation, key):
    return images + deviation * tf.random.stateless_normal(
        tf.shape(images), key
    )


def _shot_noise(images, photons, key):
    counts = tf.random.stateless_poisson(
        tf.shape(images), key, lam=images * photons, dtype=tf.float32
    )
    return counts / photons


def _impulse_noise(images, fraction, key):
    drawn = tf.random.stateless_uniform(tf.shape(images), key)
    images = tf.where(drawn < fraction / 2, 0.0, images)
    return tf.where(drawn > 1 - fraction / 2, 1.0, images)


def _gaussian_blur(images, deviation, key):
    def weights(size):
        reach = int(4 * deviation + 0.5)
        offsets = np.arange(-reach, reach + 1)
        bell = np.exp(-0.5 * (offsets / deviation) ** 2)
        matrix = np.zeros((size, size))
        for row in range(size):
            # The border's pixels are repeated beyond it.
            columns = np.clip(row + offsets, 0, size - 1)
            np.add.at(matrix[row], columns, bell / bell.sum())
        return matrix

    return _mix_pixels(images, weights)


def _brightness(images, amount, key):
    value = tf.reduce_max(images, axis=-1, keepdims=True)
    brighter = tf.minimum(value + amount, 1.0)
    # Black has no hue: it becomes grey.
    return tf.where(value > 0, images * (brighter / value), brighter)


def _contrast(images, fraction, key):
    mean = tf.reduce_mean(images, axis=[1, 2], keepdims=True)
    return mean + fraction * (images - mean)


def _pixelate(images, fraction, key):
    def weights(size):
        cells = max(int(size * fraction), 1)
        # The cell in which the centre of each pixel lies.
        cell = ((np.arange(size) + 0.5) * cells / size).astype(int)
        same = cell[:, None] == cell
        return same / same.sum(axis=1, keepdims=True)

    return _mix_pixels(images, weights)


def _jpeg_compression(images, quality, key):
    if images.shape[-1] not in (1, 3):
        raise ValueError(
            "`images` must have 1 or 3 channels for 'jpeg_compression'. "
            f"Received: shape {tuple(images.shape)}."
        )

    def compress(image):
        code = tf.io.encode_jpeg(image, quality=quality)
        # Slower, but the same result as that of most image decoders.
        return tf.io.decode_jpeg(code, dct_method="INTEGER_ACCURATE")

    pixels = tf.cast(tf.round(images * 255.0), tf.uint8)
    pixels = tf.ensure_shape(tf.map_fn(compress, pixels), images.shape)
    return tf.cast(pixels, tf.float32) / 255.0


def _mix_pixels(images, weights):
    """Mixes rows, then columns, by matrices that `weights(size)` makes."""
    _, height, width, _ = images.shape
    rows = tf.constant(weights(height), tf.float32)
    columns = tf.constant(weights(width), tf.float32)
    return tf.einsum("ih,bhwc,jw->bijc", rows, images, columns)


# The strengths of severities 1 to 5, as in `make_cifar_c.py` of [1].
_CORRUPTIONS = {
    "gaussian_noise": (_gaussian_noise, (0.04, 0.06, 0.08, 0.09, 0.10)),
    "shot_noise": (_shot_noise, (500, 250, 100, 75, 50)),
    "impulse_noise": (_impulse_noise, (0.01, 0.02, 0.03, 0.05, 0.07)),
    "gaussian_blur": (_gaussian_blur, (0.4, 0.6, 0.7, 0.8, 1.0)),
    "brightness": (_brightness, (0.05, 0.1, 0.15, 0.2, 0.3)),
    "contrast": (_contrast, (0.75, 0.5, 0.4, 0.3, 0.15)),
    "pixelate": (_pixelate, (0.95, 0.9, 0.85, 0.75, 0.65)),
    "jpeg_compression": (_jpeg_compression, (80, 65, 58, 50, 40)),
}
CORRUPTIONS = tuple(_CORRUPTIONS)
