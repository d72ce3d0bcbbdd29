import math

import numpy as np
import pytest

from keras_superweights.members.cloning import without_memory
from keras_superweights.models import densenet_bc


def num_trainable(model):
    return sum(math.prod(v.shape) for v in model.trainable_variables)


def closed_form(depth, growth, num_classes, channels=3):
    """Trainable scalars, from section 3 of the paper."""
    width = 2 * growth
    total = 9 * channels * width
    for block in range(3):
        if block:
            total += 2 * width + width * (width // 2)
            width //= 2
        for _ in range((depth - 4) // 6):
            total += 2 * width + width * 4 * growth
            total += 2 * 4 * growth + 9 * 4 * growth * growth
            width += growth
    return total + 2 * width + width * num_classes + num_classes


@pytest.mark.parametrize(
    ("depth", "growth", "millions"),
    [(100, 12, 0.8), (250, 24, 15.3), (190, 40, 25.6)],
)
def test_it_has_the_published_number_of_parameters(depth, growth, millions):
    with without_memory():
        model = densenet_bc(depth, growth)
    count = num_trainable(model)
    assert count == closed_form(depth, growth, 10)
    assert round(count / 1e6, 1) == millions


def test_every_size_has_the_closed_form_number_of_parameters():
    generator = np.random.default_rng(0)
    for _ in range(10):
        depth = 6 * int(generator.integers(1, 4)) + 4
        growth = int(generator.integers(1, 20))
        classes = int(generator.integers(1, 300))
        channels = int(generator.integers(1, 5))
        with without_memory():
            model = densenet_bc(depth, growth, classes, (32, 32, channels))
        assert num_trainable(model) == closed_form(
            depth, growth, classes, channels
        )


@pytest.mark.parametrize("size", [8, 7, 4])
def test_it_computes_the_network_of_the_paper(size, reference):
    model = densenet_bc(16, 3, num_classes=5, input_shape=(size, size, 2))
    images = np.random.default_rng(1).normal(size=(3, size, size, 2))
    plain = reference(model)

    x = plain.convolved(images, "stem")
    for block in (1, 2, 3):
        if block > 1:
            name = f"transition{block - 1}"
            x = plain.normalized_relu(x, f"{name}_norm")
            x = plain.average(plain.convolved(x, f"{name}_conv"), 2)
        for layer in range(2):
            name = f"block{block}_layer{layer}"
            y = plain.normalized_relu(x, f"{name}_norm1")
            y = plain.convolved(y, f"{name}_conv1")
            y = plain.normalized_relu(y, f"{name}_norm2")
            y = plain.convolved(y, f"{name}_conv2")
            x = np.concatenate([x, y], axis=-1)
    x = plain.normalized_relu(x, "final_norm")

    np.testing.assert_allclose(
        model(images, training=False),
        plain.logits(x),
        rtol=1e-4,
        atol=1e-4,
    )
