"""Narrower and wider networks: their shapes, their size, what is refused."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_superweights.members.cloning import without_memory
from keras_superweights.models import fitted
from keras_superweights.models import narrowed
from keras_superweights.models import transformer
from keras_superweights.models import wide_resnet


def digits_net():
    return wide_resnet(10, 2, num_classes=5, input_shape=(8, 8, 3))


def size(model):
    return sum(v.numpy().size for v in model.trainable_variables)


def sequential(*after, inputs=(8,)):
    return keras.Sequential([keras.Input(inputs), *after], name="net")


@pytest.mark.parametrize("factor", [0.3, 0.01, 1, 2.5])
def test_all_widths_but_those_of_inputs_and_outputs_are_scaled(factor):
    model = digits_net()
    other = narrowed(model, factor)
    assert other.name == model.name

    def scaled(width):
        is_end = width in (3, 5)  # channels of an image, classes
        return width if is_end else max(1, round(factor * width))

    for before, after in zip(model.weights, other.weights, strict=True):
        *window, last = before.shape
        if window:
            window[-1] = scaled(window[-1])
        assert after.shape == (*window, scaled(last)), before.path
    assert np.isfinite(other(np.ones((1, 8, 8, 3)))).all()


@pytest.mark.parametrize("factor", [0.21, 3])
def test_what_is_fitted_is_the_widest_that_fits(factor):
    model = digits_net()
    exact = size(narrowed(model, factor))
    for params in (exact, exact - 1):
        (found,) = fitted(model, params)
        assert 0.9 * params < size(found) <= params
        assert (size(found) == exact) == (params >= exact)
    pair = fitted([model, model], 2 * exact + 1)
    assert list(map(size, pair)) == [exact, exact]


def test_inside_of_other_layers_widths_are_scaled_as_well():
    inner = sequential(layers.Dense(12), layers.Dense(4, name="end"))
    inputs = keras.Input((5,), dtype="int32")
    x = layers.Embedding(9, 8)(inputs)
    x = layers.Bidirectional(layers.LSTM(6, return_sequences=True))(x)
    x = layers.TimeDistributed(layers.Dense(16))(x)
    words = keras.Model(inputs, layers.Dense(3)(x))
    words(np.zeros((1, 5)))  # what is built remembers its width
    half = narrowed(words, 0.5)
    assert half.output_shape == (None, 5, 3)
    shapes = [v.shape for v in half.get_layer(index=2).weights[:2]]
    assert shapes == [(4, 4 * 3), (3, 4 * 3)]
    assert half.get_layer(index=3).layer.units == 8
    thin = narrowed(keras.Sequential([keras.Input((8,)), inner]), 0.5)
    kernels = [v.shape for v in thin.weights if len(v.shape) == 2]
    assert kernels == [(8, 6), (6, 4)]  # the head within keeps its width

    text = narrowed(transformer(1, 16, 2, 50, context=4), 0.5)
    attention = text.get_layer("layer0_attention")
    assert (attention.num_heads, attention.key_dim) == (2, 4)
    assert text.get_layer("layer0_dense1").units == 32
    assert text.output_shape == (None, 4, 50)


def test_groups_divide_the_widths_and_depthwise_layers_follow():
    model = sequential(
        layers.Conv2D(64, 1, groups=4),
        layers.GroupNormalization(8),
        layers.DepthwiseConv2D(3),
        layers.Conv2D(48, 1),
        layers.Conv2D(48, 3, groups=48),  # depthwise by another name
        layers.Conv2D(30, 1),
        layers.Flatten(),
        layers.Dense(2),
        inputs=(8, 8, 4),
    )
    kernels = [v.shape for v in narrowed(model, 0.4).weights if v.ndim == 4]
    assert kernels == [
        (1, 1, 1, 24),
        (3, 3, 24, 1),
        (1, 1, 24, 16),
        (3, 3, 1, 16),
        (1, 1, 16, 12),
    ]


def test_without_memory_it_takes_none_and_values_are_fresh():
    with without_memory():
        (found,) = fitted(digits_net(), 20_000)
    assert all(v._value is None for v in found.weights)
    model = digits_net()
    same, other = narrowed(model, 1), narrowed(found, 1)
    for before, after in ((model, same), (found, other)):
        head, fresh = before.layers[-1].kernel, after.layers[-1].kernel
        assert fresh.shape == head.shape
        assert before is found or not np.allclose(fresh, head)


def added(x):
    return layers.Add(name="sum")([x, layers.Dense(8)(x)])


@pytest.mark.parametrize(
    ("last", "told"),
    [
        (added, "other widths.*'sum' does not.*shapes"),
        (
            lambda x: layers.Reshape((2, 4), name="pairs")(layers.Dense(8)(x)),
            "'pairs' does not",
        ),
        (lambda x: x, "a layer with a width before its last one.*'net'"),
    ],
)
def test_a_model_that_has_one_width_only_is_refused(last, told):
    inputs = keras.Input((8,))
    model = keras.Model(inputs, layers.Dense(2)(last(inputs)), name="net")
    for function, number in ((narrowed, 0.5), (fitted, 1000)):
        with pytest.raises(ValueError, match=f"(?s){told}"):
            function(model, number)


def test_what_makes_no_network_is_refused():
    model = digits_net()
    for factor in (0, -1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=f"`factor` must be.*={factor}"):
            narrowed(model, factor)
    for params in (0, 0.5, True):
        with pytest.raises((TypeError, ValueError), match=f"={params}"):
            fitted(model, params)
    smallest = size(narrowed(model, 1e-9))
    (found,) = fitted(model, smallest)
    assert size(found) == smallest
    with pytest.raises(ValueError, match=f"`params`.*at least {smallest}, .*1"):
        fitted(model, smallest - 1)
    for wrong in (keras.Sequential([layers.Dense(2)]), digits_net):
        with pytest.raises(TypeError, match="Functional or built Sequential"):
            narrowed(wrong, 0.5)
    model.get_layer("stem").trainable = False
    with pytest.raises(ValueError, match="frozen.*'wide_resnet_10_2'.*'stem'"):
        fitted(model, 20_000)
