import math

import numpy as np
import pytest

from keras_superweights.models import vgg11

STAGES = ((64,), (128,), (256, 256), (512, 512), (512, 512))


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

    plain.check(images, x)
