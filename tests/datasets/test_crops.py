"""Crops of pixels and of files, compared with NumPy."""

import io
import math

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from keras_superweights.datasets import crops


def smooth_image(rng, height, width):
    """Returns an image that JPEG can store with little loss."""
    corners = rng.integers(0, 256, (3, 3, 3))
    return np.rint(resized(corners, height, width)).astype(np.uint8)


def resized(image, height, width):
    """Resizes with a triangle filter, in NumPy."""

    def weights(old, new):
        scale = old / new
        centres = (np.arange(new) + 0.5) * scale
        distances = np.abs(np.arange(old) + 0.5 - centres[:, None])
        matrix = np.maximum(0, 1 - distances / max(scale, 1))
        return matrix / matrix.sum(axis=1, keepdims=True)

    rows = weights(image.shape[0], height)
    columns = weights(image.shape[1], width)
    return np.einsum("ih,hwc,jw->ijc", rows, image, columns)


def window_in_numpy(height, width, areas, ratios, place):
    """Returns the first window that fits, or the middle of the image."""
    for area, ratio in zip(areas, ratios, strict=True):
        area = (0.08 + 0.92 * area) * height * width
        ratio = math.exp(math.log(3 / 4) + ratio * math.log(16 / 9))
        rows = max(round(math.sqrt(area / ratio)), 1)
        columns = max(round(math.sqrt(area * ratio)), 1)
        if rows <= height and columns <= width:
            top = math.floor(place[0] * (height - rows + 1))
            left = math.floor(place[1] * (width - columns + 1))
            return top, left, rows, columns
    rows, columns = height, width
    if width / height < 3 / 4:
        rows = round(width / (3 / 4))
    elif width / height > 4 / 3:
        columns = round(height * 4 / 3)
    return (height - rows + 1) // 2, (width - columns + 1) // 2, rows, columns


@pytest.mark.parametrize("tries", [1, 3, 10])
def test_windows_agree_with_numpy(tries):
    rng = np.random.default_rng(tries)
    window = tf.function(crops.inception_window)
    for _ in range(100):
        height, width = (int(side) for side in rng.integers(1, 120, 2))
        areas, ratios = rng.random((2, tries), dtype=np.float32)
        place = rng.random(2, dtype=np.float32)
        expected = window_in_numpy(height, width, areas, ratios, place)
        found = window(
            tf.constant(height), tf.constant(width), areas, ratios, place
        )
        np.testing.assert_array_equal(found, expected)


def test_windows_are_of_the_areas_and_ratios_of_the_paper():
    height, width = 300, 400

    def window(number):
        numbers = tf.random.stateless_uniform([22], [number, 0])
        numbers = tf.split(numbers, [10, 10, 2])
        return crops.inception_window(
            tf.constant(height), tf.constant(width), *numbers
        )

    windows = tf.data.Dataset.range(2000).map(window).batch(2000)
    top, left, rows, columns = windows.get_single_element().numpy().T
    assert np.all((top >= 0) & (top + rows <= height))
    assert np.all((left >= 0) & (left + columns <= width))
    area = rows * columns / (height * width)
    ratio = columns / rows
    assert 0.079 < area.min() < 0.1 and 0.9 < area.max() <= 1
    assert 0.745 < ratio.min() < 0.76 and 1.32 < ratio.max() < 1.34
    # Wide and high windows are equally frequent, if both fit.
    small = area < 0.5
    assert abs(np.mean(ratio[small] > 1) - 0.5) < 5 * 0.5 / small.sum() ** 0.5
    # All areas are equally likely, too.
    assert abs(np.mean(area[small] < 0.29) - 0.5) < 5 * 0.5 / small.sum() ** 0.5
    assert len(np.unique(top)) > 50 and len(np.unique(left)) > 50


def as_kind(image, kind):
    """Returns an image as a tensor of that kind, and its pixels."""
    if kind == "pixels":
        return tf.constant(image), image
    if kind == "png":
        return tf.io.encode_png(image), image
    code = tf.io.encode_jpeg(image, quality=90)
    return code, np.asarray(PIL.Image.open(io.BytesIO(code.numpy())))


@pytest.mark.parametrize("kind", ["pixels", "png", "jpeg"])
def test_an_inception_crop_is_its_window_resized(kind, monkeypatch):
    rng = np.random.default_rng(0)
    taken = []
    find = crops.inception_window
    monkeypatch.setattr(
        crops,
        "inception_window",
        lambda *a, **k: taken.append(find(*a, **k)) or taken[-1],
    )
    for size in ((40, 30), (17, 90), (8, 8)):
        image = smooth_image(rng, *size)
        tensor, image = as_kind(image, kind)
        key = rng.integers(0, 2**31, 2, np.int32)
        found = crops.inception_crop(tensor, 12, 10, 3, key)
        again = crops.inception_crop(tensor, 12, 10, 3, key)
        other = crops.inception_crop(tensor, 12, 10, 3, key + 1)
        assert found.dtype == tf.uint8
        np.testing.assert_array_equal(found, again)
        assert np.any(found != other)
        top, left, rows, columns = taken[0].numpy()
        part = image[top : top + rows, left : left + columns]
        expected = np.rint(resized(part, 12, 10))
        error = np.abs(found.numpy() - expected)
        # In a file, colours at the border are interpolated from the decoded
        # pixels only.
        assert error.max() <= (20 if kind == "jpeg" else 1)
        assert error.mean() <= 1
        taken.clear()


@pytest.mark.parametrize("kind", ["pixels", "png", "jpeg"])
@pytest.mark.parametrize("size", [(40, 30), (17, 90), (5, 4), (16, 16)])
def test_the_central_crop_is_the_middle_of_the_resized_image(kind, size):
    image = smooth_image(np.random.default_rng(1), *size)
    tensor, image = as_kind(image, kind)
    # The shorter side becomes 32 pixels, of which 28 are kept.
    height, width = (round(32 * side / min(size)) for side in size)
    top, left = (height - 28) // 2, (width - 28) // 2
    expected = resized(image, height, width)[top : top + 28, left : left + 28]
    found = crops.central_crop(tensor, 28, 3)
    assert found.shape == (28, 28, 3)
    assert np.abs(found.numpy() - np.rint(expected)).max() <= 1


def test_grey_files_are_decoded_into_as_many_channels_as_the_set_has():
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8, 1) * 3 + 30
    for code in (tf.io.encode_png(grey), tf.io.encode_jpeg(grey, quality=95)):
        for channels in (1, 3):
            pixels = crops.decode_exactly(code, (8, 8, channels))
            assert pixels.shape == (8, 8, channels)
            assert np.abs(pixels.numpy() - grey.astype(int)).max() < 4
            key = tf.constant([1, 2])
            crop = crops.inception_crop(code, 5, 5, channels, key)
            assert crop.shape == (5, 5, channels)


def test_an_image_of_another_size_is_refused():
    code = tf.io.encode_png(np.zeros((6, 4, 3), np.uint8))
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"(?s)\(6, 5, 3\). Rec.*6, 4, 3"
    ):
        crops.decode_exactly(code, (6, 5, 3))
