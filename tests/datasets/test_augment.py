import numpy as np
import pytest
import tensorflow as tf

from keras_superweights.datasets import augment


def _random_images(rng):
    shape = rng.integers(1, 9, 4)  # batch, height, width, channels
    return rng.integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("seed", range(20))
def test_pad_crop_and_flip_agree_with_numpy(seed):
    rng = np.random.default_rng(seed)
    images = _random_images(rng)
    num_images, height, width, _ = images.shape
    pad = int(rng.integers(0, 4))
    corners = rng.integers(0, 2 * pad + 1, (num_images, 2)).astype("int32")
    flips = rng.random(num_images) < 0.5

    expected = []
    for image, (top, left), flip in zip(images, corners, flips, strict=True):
        image = np.pad(image, ((pad, pad), (pad, pad), (0, 0)))
        image = image[top : top + height, left : left + width]
        expected.append(np.fliplr(image) if flip else image)

    cropped = augment.pad_and_crop(tf.constant(images), corners, pad)
    flipped = augment.flip(cropped, tf.constant(flips))
    np.testing.assert_array_equal(flipped, expected)


@pytest.mark.parametrize("seed", range(20))
def test_cutout_agrees_with_numpy(seed):
    rng = np.random.default_rng(seed)
    images = _random_images(rng).astype("float32") + 1.0
    num_images, height, width, _ = images.shape
    size = int(rng.integers(0, 8))
    centres = np.stack(
        [rng.integers(0, side, num_images) for side in (height, width)], axis=1
    ).astype("int32")

    expected = images.copy()
    for image, (row, column) in zip(expected, centres, strict=True):
        top, left = row - size // 2, column - size // 2
        for i in range(max(top, 0), min(top + size, height)):
            for j in range(max(left, 0), min(left + size, width)):
                image[i, j] = 0.0

    actual = augment.cutout(tf.constant(images), tf.constant(centres), size)
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("seed", range(5))
def test_normalize_agrees_with_float64(seed):
    rng = np.random.default_rng(seed)
    images = _random_images(rng)
    mean = rng.random(images.shape[-1])
    deviation = rng.uniform(0.1, 1.0, images.shape[-1])
    expected = (images / 255.0 - mean) / deviation
    actual = augment.normalize(
        tf.constant(images), mean.tolist(), deviation.tolist()
    )
    assert actual.dtype == tf.float32
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_smoothed_labels_agree_with_the_formula(smoothing):
    labels = np.array([2, 0, 4, 4])
    expected = np.full((4, 5), smoothing / 5)
    expected[np.arange(4), labels] += 1 - smoothing
    actual = augment.smooth_labels(tf.constant(labels), 5, smoothing)
    np.testing.assert_allclose(actual, expected, atol=1e-7)
    np.testing.assert_allclose(np.sum(actual, axis=1), 1.0, atol=1e-6)


def test_draws_cover_their_ranges_uniformly():
    num_examples, height, width, pad = 30_000, 6, 4, 1
    draws = augment.draw(num_examples, (height, width, 3), pad, [3, 1])
    corners, flips, centres, keys = (np.asarray(values) for values in draws)

    def check(values, num_values):
        counts = np.bincount(values, minlength=num_values)
        assert len(counts) == num_values
        expected = num_examples / num_values
        assert np.all(np.abs(counts - expected) < 5 * np.sqrt(expected))

    # Pairs of coordinates would show a dependence between them.
    check(corners[:, 0] * 3 + corners[:, 1], 9)
    check(centres[:, 0] * width + centres[:, 1], height * width)
    check(flips.astype(int), 2)
    check(flips * 9 + corners[:, 0] * 3 + corners[:, 1], 18)
    assert len(np.unique(keys, axis=0)) == num_examples


def test_one_augmentation_does_not_change_the_draws_of_another():
    without = augment.draw(50, (8, 8, 1), 0, [7, 7])
    with_pad = augment.draw(50, (8, 8, 1), 4, [7, 7])
    assert not np.any(without.corners)
    assert np.any(with_pad.corners)
    for same, expected in zip(with_pad[1:], without[1:], strict=True):
        np.testing.assert_array_equal(same, expected)
