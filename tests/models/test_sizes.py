"""Models have the numbers of parameters of the papers and of their formulas."""

import math

import keras
import numpy as np
import pytest

from keras_superweights import models
from keras_superweights.members.cloning import without_memory
from tests import builders


def num_trainable(model, *args):
    """Trainable scalars of a model, or of one built without memory."""
    if not isinstance(model, keras.layers.Layer):
        with without_memory():
            model = model(*args)
    return sum(math.prod(v.shape) for v in model.trainable_variables)


def densenet_bc(depth, growth, num_classes=10, input_shape=(32, 32, 3)):
    """From section 3 of the paper."""
    width = 2 * growth
    total = 9 * input_shape[-1] * width
    for block in range(3):
        if block:
            total += 2 * width + width * (width // 2)
            width //= 2
        for _ in range((depth - 4) // 6):
            total += 2 * width + width * 4 * growth
            total += 2 * 4 * growth + 9 * 4 * growth * growth
            width += growth
    return total + 2 * width + width * num_classes + num_classes


def wide_resnet(depth, width, num_classes=10, input_shape=(32, 32, 3)):
    """From table 1 of the paper."""
    channels = input_shape[-1]
    return builders.wide_resnet(
        0, depth, width, num_classes, channels
    ).num_params


def vgg11(num_classes=10):
    total, channels = 0, 3
    for filters in (64, 128, 256, 256, 512, 512, 512, 512):
        total += 9 * channels * filters + 2 * filters
        channels = filters
    return total + channels * num_classes + num_classes


def transformer(num_layers, width, num_heads, vocabulary, context):
    """Four kernels of attention, two of four times that size, and biases."""
    layer = 12 * width**2 + 13 * width
    embedded = width * (vocabulary + context)
    return num_layers * layer + embedded + 2 * width + vocabulary * width


@pytest.mark.parametrize(
    ("formula", "arguments", "millions"),
    [
        (densenet_bc, (100, 12), 0.8),
        (densenet_bc, (250, 24), 15.3),
        (densenet_bc, (190, 40), 25.6),
        (vgg11, (10,), 9.2),
        (vgg11, (100,), None),
        (wide_resnet, (28, 10, 100), 36.5),
        (wide_resnet, (28, 10, 10), 36.5),
        (wide_resnet, (40, 10, 10), 55.8),
        (wide_resnet, (52, 10, 100), 75),
        (wide_resnet, (76, 12, 100), 164),
    ],
)
def test_models_have_the_published_number_of_parameters(
    formula, arguments, millions
):
    count = num_trainable(getattr(models, formula.__name__), *arguments)
    assert count == formula(*arguments)
    digits = 1 if isinstance(millions, float) else None
    assert millions in (None, round(count / 1e6, digits))


@pytest.mark.parametrize("formula", [densenet_bc, wide_resnet])
def test_every_size_has_the_closed_form_number_of_parameters(formula):
    draw = np.random.default_rng(0)
    for factor in range(1, 9):
        depth = 6 * int(draw.integers(1, 5)) + 4
        classes, channels = map(int, draw.integers(1, (300, 5)))
        arguments = (depth, factor, classes, (32, 32, channels))
        model = getattr(models, formula.__name__)
        assert num_trainable(model, *arguments) == formula(*arguments)


def test_wide_resnet_50_2_is_as_large_as_torchvisions():
    assert num_trainable(models.wide_resnet_50_2) == 68_883_240


def test_the_grus_of_sentences_have_the_published_number_of_parameters():
    with without_memory():
        model = models.gru_sentence_encoder(vocabulary_size=10_000)
    count = num_trainable(model.get_layer("gru"))
    # Both GRUs have three gates, each with two biases.
    assert count == 2 * 3 * (600 * 1024 + 1024 * 1024 + 2 * 1024)
    assert round(count / 1e6) == 10


@pytest.mark.parametrize(
    ("arguments", "published"),
    [
        ((12, 768, 12, 50257, 1024), 124_439_808),
        ((2, 1600, 25, 50257, 1024), None),
    ],
    ids=["GPT-2", "two layers of GPT-2 XL"],
)
def test_transformers_are_as_large_as_gpt_2_and_its_head(arguments, published):
    count = num_trainable(models.transformer, *arguments)
    assert count == transformer(*arguments)
    if published:  # with one kernel for the head and the token vectors
        assert count - 50257 * 768 == published
