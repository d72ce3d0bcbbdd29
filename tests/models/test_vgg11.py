import math

import numpy as np
import pytest

from keras_superweights.members.cloning import without_memory
from keras_superweights.models import vgg11

STAGES = ((64,), (128,), (256, 256), (512, 512), (512, 512))


@pytest.mark.parametrize("num_classes", [10, 100])
def test_it_has_the_closed_form_number_of_parameters(num_classes):
    total, channels = 0, 3
    for filters in (f for stage in STAGES for f in stage):
        total += 9 * channels * filters + 2 * filters
        channels = filters
    total += channels * num_classes + num_classes
    with without_memory():
        model = vgg11(num_classes)
    found = sum(math.prod(v.shape) for v in model.trainable_variables)
    assert found == total
    assert num_classes == 100 or round(found / 1e6, 1) == 9.2


@pytest.mark.parametrize("size", [1, 8, 13, 32, 64])
def test_it_computes_the_network_of_the_paper(size, reference):
    model = vgg11(num_classes=5, input_shape=(size, size, 2))
    images = np.random.default_rng(1).normal(size=(2, size, size, 2))
    images = images.astype("float32")
    plain = reference(model)

    x = images
    for stage, filters in enumerate(STAGES, start=1):
        for index in range(1, len(filters) + 1):
            x = plain.convolved(x, f"stage{stage}_conv{index}")
            x = plain.normalized_relu(x, f"stage{stage}_norm{index}")
        x = plain.maximum(x, 2, strides=2)
    assert x.shape[1] == math.ceil(size / 32)

    np.testing.assert_allclose(
        model(images, training=False),
        plain.logits(x),
        rtol=1e-4,
        atol=1e-4,
    )
