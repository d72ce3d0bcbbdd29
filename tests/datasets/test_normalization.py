"""Mean and deviation equal those of NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from keras_superweights.datasets import normalization
from tests.datasets.sets import collect
from tests.datasets.sets import tiny_examples


@pytest.mark.parametrize("seed", range(8))
def test_mean_and_deviation_agree_with_numpy(seed):
    draw = np.random.default_rng(seed)
    count, channels = draw.integers(1, 30), draw.integers(1, 5)
    shape = (count, *draw.integers(1, 7, 2), channels)
    images = draw.integers(0, 256, shape).astype("uint8")
    batches = tf.data.Dataset.from_tensor_slices((images, np.zeros(count)))
    mean, deviation = normalization.measure(batches.batch(4), channels)
    np.testing.assert_allclose(mean, (images / 255).mean((0, 1, 2)))
    np.testing.assert_allclose(deviation, (images / 255).std((0, 1, 2)))


def test_unknown_sets_are_normalised_by_the_train_split(make_pipeline):
    pipeline = make_pipeline(train_split="train[:24]")
    pixels = tiny_examples("train")[0][:24] / 255
    np.testing.assert_allclose(pipeline.mean, pixels.mean((0, 1, 2)))
    np.testing.assert_allclose(pipeline.deviation, pixels.std((0, 1, 2)))
    images, _ = collect(pipeline.train(1))
    np.testing.assert_allclose(images.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(images.std((0, 1, 2)), 1, atol=1e-5)


def test_a_constant_channel_is_refused(make_pipeline):
    pipeline = make_pipeline(train_split="blank", batch_size=2)
    with pytest.raises(ValueError, match="Every channel must vary"):
        pipeline.train(1)
