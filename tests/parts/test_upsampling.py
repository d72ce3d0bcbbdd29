import math
import random

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_superweights.banks.upsampling import Mask
from keras_superweights.banks.upsampling import Repeat
from keras_superweights.banks.upsampling import interpolate
from keras_superweights.banks.upsampling import variance_kept


def cases(seed, count, smaller=False):
    """Templates and shapes, also one scalar apart."""
    draw = random.Random(seed)
    for _ in range(count):
        shape = tuple(draw.randint(1, 6) for _ in range(draw.randint(2, 4)))
        size = math.prod(shape)
        lengths = [size - 1, size // 2, size // 2 + 1, draw.randint(1, size)]
        if smaller:
            lengths += [size, size + 1, 3 * size + 2]
        for length in lengths:
            if 0 < length < size or smaller and length > 0:
                yield length, shape


def template_of(length):
    values = np.random.default_rng(length).normal(size=length)
    return values.astype("float32")


def test_each_further_copy_is_multiplied_by_its_mask():
    """NPAS, 3.3, scalar by scalar."""
    for length, shape in cases(0, 25):
        layer = Mask(length, shape)
        masks = np.array(layer.masks)
        template = template_of(length)
        expected = []
        for place in range(math.prod(shape)):
            copy, within = divmod(place, length)
            factor = 1.0 if copy == 0 else masks[copy - 1, within % 9]
            expected.append(factor * template[within])
        assert masks.shape == (math.ceil(math.prod(shape) / length) - 1, 9)
        np.testing.assert_allclose(
            layer.upsample(template), np.reshape(expected, shape), rtol=1e-6
        )


def test_repeating_repeats():
    for length, shape in cases(1, 25):
        template = template_of(length)
        expected = np.resize(template, shape)
        layer = Repeat(length, shape)
        np.testing.assert_array_equal(layer.upsample(template), expected)
        assert not layer.weights


def at(grid, y, x):
    """Bilinear interpolation at one point, pixel centres at integers."""
    y = min(max(y, 0), grid.shape[0] - 1)
    x = min(max(x, 0), grid.shape[1] - 1)
    top, left = math.floor(y), math.floor(x)
    bottom = min(top + 1, grid.shape[0] - 1)
    right = min(left + 1, grid.shape[1] - 1)
    y, x = y - top, x - left
    above = grid[top, left] * (1 - x) + grid[top, right] * x
    below = grid[bottom, left] * (1 - x) + grid[bottom, right] * x
    return above * (1 - y) + below * y


def test_interpolation_equals_a_written_out_one():
    for length, shape in cases(2, 12, smaller=True):
        template = template_of(length)
        rows, columns = math.prod(shape[:-1]), shape[-1]
        across = min(max(1, round((length * columns / rows) ** 0.5)), length)
        down = length // across
        grid = template[: down * across].reshape(down, across).astype(float)
        expected = [
            at(
                grid,
                (i + 0.5) * down / rows - 0.5,
                (j + 0.5) * across / columns - 0.5,
            )
            for i in range(rows)
            for j in range(columns)
        ]
        found = interpolate(keras.ops.stack([template, 2 * template]), shape)
        assert found.shape == (2, math.prod(shape))
        np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            found[1], 2 * np.array(found[0]), rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize(
    ("length", "shape"), [(241, (50, 12)), (18, (10, 2)), (300, (3, 2, 7))]
)
def test_compiled_interpolation_and_its_gradient_equal_the_eager_ones(
    length, shape
):
    """Also where centres of both grids meet: 6 rows to 10, 30 to 50."""
    templates = tf.Variable([template_of(length), template_of(length)[::-1]])
    weights = tf.stack([template_of(math.prod(shape))] * 2)

    def run():
        with tf.GradientTape() as tape:
            resized = interpolate(tf.convert_to_tensor(templates), shape)
        return resized, tape.gradient(resized, templates, weights)

    compiled = tf.function(run, jit_compile=True)
    for one, other in zip(run(), compiled(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize(
    ("length", "shape"), [(100, (30, 40)), (900, (30, 40)), (50, (3, 3, 9, 20))]
)
def test_variance_kept_is_that_of_many_draws(length, shape):
    templates = np.random.default_rng(0).normal(size=(4000, length))
    kernels = np.array(interpolate(templates.astype("float32"), shape))
    expected = np.mean(kernels**2)
    assert variance_kept(length, shape) == pytest.approx(expected, rel=0.03)


def test_masks_start_different_with_a_mean_square_of_one():
    masks = np.array(Mask(3, (100, 30)).masks)
    np.testing.assert_allclose(np.mean(masks**2, axis=1), 1, rtol=1e-5)
    assert len(np.unique(masks.round(6), axis=0)) == len(masks)
    assert abs(masks.mean()) < 0.05
