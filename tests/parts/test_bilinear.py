import math
import random

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_superweights.allocation import KernelSpec
from keras_superweights.parts import Bilinear
from keras_superweights.parts.bilinear import interpolate
from tests import builders
from tests.builders import template_of


def test_interpolation_equals_a_written_out_one():
    draw = random.Random(2)
    for length, shape in builders.lengths_and_shapes(draw, 12, smaller=True):
        template = template_of(length)
        expected = builders.interpolated(template, shape)
        found = interpolate(keras.ops.stack([template, 2 * template]), shape)
        assert found.shape == (2, math.prod(shape))
        np.testing.assert_allclose(
            found[0], expected.ravel(), rtol=1e-4, atol=1e-5
        )
        np.testing.assert_allclose(
            found[1], 2 * np.array(found[0]), rtol=1e-4, atol=1e-6
        )
        layer = Bilinear(length).layer(KernelSpec(0, "layer", shape))
        assert not layer.weights
        np.testing.assert_allclose(
            layer.transform(template), np.reshape(found[0], shape), atol=1e-6
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
    kept = Bilinear(length).variance_kept(KernelSpec(0, "layer", shape))
    assert kept == pytest.approx(np.mean(kernels**2), rel=0.03)


def test_what_it_answers_and_refuses():
    kernel = KernelSpec(0, "layer", (4, 5))
    transform = Bilinear(7)
    transform.check([kernel])
    assert transform.input_size(kernel) == 7
    assert transform.num_scalars(kernel) == transform.num_kept(kernel) == 0
    assert transform.label(kernel) == "interpolated"
    for length in (0, -1, 21):
        with pytest.raises(ValueError, match=f"length={length!r}"):
            Bilinear(length).check([kernel])
