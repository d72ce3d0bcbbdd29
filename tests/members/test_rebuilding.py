"""Models that Keras cannot rebuild are refused by the names of their layers."""

import keras
import pytest

from keras_superweights.members.rebuilding import check_rebuilding

layers = keras.layers


class Unregistered(layers.Layer):
    def call(self, inputs):
        return inputs


@keras.saving.register_keras_serializable("rebuilding")
class WithoutConfig(layers.Layer):
    """Its argument is not one that Keras can write."""

    def __init__(self, argument):
        super().__init__()

    def call(self, inputs):
        return inputs


@keras.saving.register_keras_serializable("rebuilding")
def double(x):
    return 2 * x


def negative(x):
    return -x


def model_of(*inner):
    stack = [layers.Dense(4, name="first"), *inner, layers.Dense(2)]
    return keras.Sequential([keras.Input((5, 4)), *stack], name="custom")


def named(kind, argument):
    """Keras would number the names on from test to test."""
    layer = kind(argument) if argument else kind()
    layer.name = "mine"
    return layer


CASES = {
    "lambda": (lambda x: x, layers.Lambda, "disallowed by default"),
    "function": (negative, layers.Lambda, "Could not locate function"),
    "unregistered": (None, Unregistered, "Could not locate class"),
    "no config": (object(), WithoutConfig, "must override `get_config"),
}


@pytest.fixture(params=list(CASES))
def case(request):
    argument, kind, reason = CASES[request.param]
    return lambda: named(kind, argument), f"{kind.__name__}", reason


@pytest.mark.parametrize("place", ["model", "wrapper", "inner model"])
def test_the_innermost_layers_are_named_with_the_reason(case, place):
    build, kind, reason = case
    layer, path = build(), "mine"
    if place == "wrapper":
        layer, path = layers.TimeDistributed(layer, name="each"), "each/layer"
    if place == "inner model":
        inputs = keras.Input((5, 4))
        x = layers.Dense(4)(layer(inputs))
        layer, path = keras.Model(inputs, x, name="inner"), "inner/mine"
    with pytest.raises(ValueError) as caught:
        check_rebuilding(3, model_of(layer))
    message = str(caught.value)
    assert "member 3 ('custom'), of which Keras cannot rebuild" in message
    assert f"rebuild '{path}' ({kind}): " in message and reason in message
    # Once, not again for what it lies in, and without the model's config.
    assert message.count(f"({kind})") == 1 and "(Functional)" not in message
    assert "'first'" not in message and "{" not in message


def test_all_of_them_are_named_in_order():
    stack = [named(Unregistered, None), layers.Lambda(negative, name="minus")]
    with pytest.raises(ValueError, match=r"'mine' \(.*'minus' \("):
        check_rebuilding(0, model_of(*stack))


def test_a_lambda_of_a_registered_function_is_welcome():
    check_rebuilding(0, model_of(layers.Lambda(double)))


def test_a_layer_inside_and_outside_of_a_model_is_refused():
    layer = layers.Dense(4)
    inner = keras.Input((5, 4))
    inner = keras.Model(inner, layer(inner))
    with pytest.raises(ValueError, match="has 6 weights, and 8 when"):
        check_rebuilding(0, model_of(inner, layer))


def test_stateful_layers_are_refused():
    inputs = keras.Input(batch_shape=(2, 5, 4))
    x = layers.GRU(3, stateful=True, name="gru")(inputs)
    with pytest.raises(ValueError, match=r"\['gru'\]. Pass `stateful=False`"):
        check_rebuilding(0, keras.Model(inputs, layers.Dense(3)(x)))
