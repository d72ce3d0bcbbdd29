import json
import math

import keras
import numpy as np
import pytest

from keras_superweights.cloning import without_memory
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
    logits = model.predict(images, verbose=0)
    assert logits.shape == (2, 7)
    assert np.isfinite(logits).all()


def reference_forward(model, images):
    """The network of the paper, written with single operations."""
    weights = {layer.name: layer.get_weights() for layer in model.layers}

    def norm_relu(x, name):
        gamma, beta, mean, variance = weights[name]
        x = (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta
        return np.maximum(x, 0)

    def convolve(x, name, strides=1):
        (kernel,) = weights[name]
        size = kernel.shape[0]
        out = -(-x.shape[1] // strides)
        pad = max((out - 1) * strides + size - x.shape[1], 0)
        before = pad // 2
        x = np.pad(
            x, ((0, 0), (before, pad - before), (before, pad - before), (0, 0))
        )
        y = np.zeros((len(x), out, out, kernel.shape[-1]))
        for row in range(out):
            for column in range(out):
                top, left = row * strides, column * strides
                patch = x[:, top : top + size, left : left + size]
                y[:, row, column] = np.tensordot(patch, kernel, 3)
        return y

    x = convolve(images, "stem")
    for stage in (1, 2, 3):
        for block in range(2):
            name = f"stage{stage}_block{block}"
            strides = 2 if stage > 1 and block == 0 else 1
            active = norm_relu(x, f"{name}_norm1")
            y = convolve(active, f"{name}_conv1", strides)
            y = convolve(norm_relu(y, f"{name}_norm2"), f"{name}_conv2")
            if block == 0:
                x = convolve(active, f"{name}_shortcut", strides)
            x = x + y
    x = norm_relu(x, "final_norm").mean(axis=(1, 2))
    kernel, bias = weights["head"]
    return x @ kernel + bias


def test_it_computes_the_network_of_the_paper():
    model = wide_resnet(16, 2, num_classes=5, input_shape=(8, 8, 1))
    generator = np.random.default_rng(1)
    model.set_weights(
        [
            np.abs(w + 0.1 * generator.normal(size=w.shape))
            if w.ndim == 1
            else w
            for w in model.get_weights()
        ]
    )
    images = generator.normal(size=(3, 8, 8, 1))
    np.testing.assert_allclose(
        model.predict(images, verbose=0),
        reference_forward(model, images),
        rtol=1e-4,
        atol=1e-4,
    )


def test_no_projection_where_the_shape_stays():
    names = {layer.name for layer in wide_resnet(16, 1).layers}
    assert "stage1_block0_shortcut" not in names
    assert {"stage2_block0_shortcut", "stage3_block0_shortcut"} <= names
    assert "stage2_block1_shortcut" not in names


def test_names_are_unique_and_the_same_every_time():
    first, second = wide_resnet(16, 2), wide_resnet(16, 2)
    names = [layer.name for layer in first.layers]
    assert names == [layer.name for layer in second.layers]
    assert len(set(names)) == len(names)
    assert {"stem", "stage1_block0_conv1", "stage3_block1_conv2"} <= set(names)
    assert first.name == "wide_resnet_16_2"
    assert wide_resnet(16, 2, name="small").name == "small"


def test_it_consists_of_keras_layers_only_and_loads(tmp_path):
    model = wide_resnet(10, 2, input_shape=(8, 8, 1))
    assert "keras_superweights" not in json.dumps(
        keras.saving.serialize_keras_object(model)
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 1))
    np.testing.assert_array_equal(
        model.predict(images, verbose=0), loaded.predict(images, verbose=0)
    )


def test_logits_are_float32_under_mixed_precision():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = wide_resnet(10, 1, input_shape=(8, 8, 1))
    finally:
        keras.config.set_dtype_policy(before)
    assert model.get_layer("stem").compute_dtype == "bfloat16"
    assert model.output.dtype == "float32"


def test_convolutions_start_he_normal():
    model = wide_resnet(10, 4)
    kernel = model.get_layer("stage3_block0_conv2").get_weights()[0]
    np.testing.assert_allclose(
        kernel.std(), math.sqrt(2 / (9 * 256)), rtol=0.02
    )


@pytest.mark.parametrize(
    ("depth", "nearest"),
    [(27, "22 or 28"), (29, "28 or 34"), (4, "10"), (1, "10"), (11, "10 or")],
)
def test_a_depth_that_is_not_6n_plus_4_names_the_nearest(depth, nearest):
    with pytest.raises(ValueError, match=f"depth={depth};.* {nearest}"):
        wide_resnet(depth, 1)


@pytest.mark.parametrize("argument", ["depth", "width", "num_classes"])
@pytest.mark.parametrize(
    ("value", "error"),
    [(0, ValueError), (-4, ValueError), (1.0, TypeError), (True, TypeError)],
)
def test_numbers_must_be_positive_integers(argument, value, error):
    arguments = {"depth": 10, "width": 1, "num_classes": 10, argument: value}
    with pytest.raises(error, match=f"`{argument}`.*Received"):
        wide_resnet(**arguments)


@pytest.mark.parametrize(
    "input_shape", [(3, 8, 1), (8, 8), (8, 8, None), (8, 8, 0)], ids=str
)
def test_inputs_must_be_images_of_at_least_4_pixels(input_shape):
    with pytest.raises(ValueError, match="`input_shape`.*Received"):
        wide_resnet(10, 1, input_shape=input_shape)
