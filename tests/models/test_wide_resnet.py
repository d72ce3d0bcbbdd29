import math

import numpy as np
import pytest

from keras_superweights.members.cloning import without_memory
from keras_superweights.models import wide_resnet


def num_trainable(model):
    return sum(math.prod(v.shape) for v in model.trainable_variables)


def closed_form(depth, width, num_classes, channels=3):
    """Trainable scalars of WRN-depth-width, from the paper's table 1."""
    total = 9 * channels * 16
    previous = 16
    for filters in (16 * width, 32 * width, 64 * width):
        for _ in range((depth - 4) // 6):
            total += 9 * previous * filters + 9 * filters * filters
            total += 2 * previous + 2 * filters  # scales and offsets
            if previous != filters:
                total += previous * filters  # projection
            previous = filters
    return total + 2 * previous + previous * num_classes + num_classes


@pytest.mark.parametrize(
    ("depth", "width", "num_classes", "millions"),
    [
        (28, 10, 100, 36.5),
        (28, 10, 10, 36.5),
        (40, 10, 10, 55.8),
        (52, 10, 100, 75),
        (76, 12, 100, 164),
    ],
)
def test_it_has_the_published_number_of_parameters(
    depth, width, num_classes, millions
):
    with without_memory():
        model = wide_resnet(depth, width, num_classes)
    count = num_trainable(model)
    assert count == closed_form(depth, width, num_classes)
    digits = 1 if isinstance(millions, float) else 0
    assert round(count / 1e6, digits) == millions


def test_every_size_has_the_closed_form_number_of_parameters():
    generator = np.random.default_rng(0)
    for _ in range(10):
        depth = 6 * int(generator.integers(1, 5)) + 4
        width = int(generator.integers(1, 9))
        classes = int(generator.integers(1, 300))
        channels = int(generator.integers(1, 5))
        with without_memory():
            model = wide_resnet(depth, width, classes, (32, 32, channels))
        assert num_trainable(model) == closed_form(
            depth, width, classes, channels
        )


@pytest.mark.parametrize(
    "input_shape", [(8, 8, 1), (4, 4, 3), (5, 7, 2), (None, None, 1)], ids=str
)
def test_logits_come_from_any_input_of_at_least_4_pixels(input_shape):
    model = wide_resnet(10, 1, num_classes=7, input_shape=input_shape)
    images = np.random.default_rng(0).normal(
        size=(2, *(size or 9 for size in input_shape))
    )
    logits = model(images, training=False)
    assert logits.shape == (2, 7)
    assert np.isfinite(logits).all()


def test_it_computes_the_network_of_the_paper(reference):
    model = wide_resnet(16, 2, num_classes=5, input_shape=(8, 8, 1))
    images = np.random.default_rng(1).normal(size=(3, 8, 8, 1))
    plain = reference(model)

    x = plain.convolved(images, "stem")
    for stage in (1, 2, 3):
        for block in range(2):
            name = f"stage{stage}_block{block}"
            strides = 2 if stage > 1 and block == 0 else 1
            active = plain.normalized_relu(x, f"{name}_norm1")
            y = plain.convolved(active, f"{name}_conv1", strides)
            y = plain.normalized_relu(y, f"{name}_norm2")
            y = plain.convolved(y, f"{name}_conv2")
            if block == 0:
                x = plain.convolved(active, f"{name}_shortcut", strides)
            x = x + y
    x = plain.normalized_relu(x, "final_norm")

    np.testing.assert_allclose(
        model(images, training=False),
        plain.logits(x),
        rtol=1e-4,
        atol=1e-4,
    )


def test_no_projection_where_the_shape_stays():
    names = {layer.name for layer in wide_resnet(16, 1).layers}
    assert "stage1_block0_shortcut" not in names
    assert {"stage2_block0_shortcut", "stage3_block0_shortcut"} <= names
    assert "stage2_block1_shortcut" not in names


def test_layers_have_the_names_that_are_promised():
    model = wide_resnet(16, 2)
    names = {layer.name for layer in model.layers}
    assert {"stem", "stage1_block0_conv1", "stage3_block1_conv2"} <= names
    assert model.name == "wide_resnet_16_2"


def test_the_largest_kernel_of_wrn_28_10_has_just_under_4m():
    with without_memory():
        model = wide_resnet(28, 10)
    sizes = [math.prod(v.shape) for v in model.trainable_variables]
    assert max(sizes) == 9 * 640 * 640
    assert 3.5e6 < max(sizes) < 4e6


def test_convolutions_start_he_normal():
    model = wide_resnet(10, 4)
    kernel = model.get_layer("stage3_block0_conv2").get_weights()[0]
    np.testing.assert_allclose(
        kernel.std(), math.sqrt(2 / (9 * 256)), rtol=0.02
    )
