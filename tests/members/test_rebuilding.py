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


@pytest.mark.parametrize("place", ["model", "wrapper", "inner model"])
@pytest.mark.parametrize(
    ("argument", "kind", "reason"),
    [
        (lambda x: x, layers.Lambda, "disallowed by default"),
        (negative, layers.Lambda, "Could not locate function"),
        (None, Unregistered, "Could not locate class"),
        (object(), WithoutConfig, "must override `get_config"),
    ],
    ids=["lambda", "function", "unregistered", "no config"],
)
def test_the_innermost_layers_are_named_with_the_reason(
    argument, kind, reason, place
):
    layer, path = named(kind, argument), "mine"
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
    kind = f"({kind.__name__})"
    assert f"rebuild '{path}' {kind}: " in message and reason in message
    # Once, not again for outer layers, and without the model's config.
    assert message.count(kind) == 1 and "(Functional)" not in message
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


@keras.saving.register_keras_serializable("rebuilding")
class OwnModel(keras.Model):
    """Makes itself of layers without a config, and compiles itself."""

    def __init__(self, units, told=None, **kwargs):
        inputs = keras.Input((4,))
        x = layers.Dense(units)(WithoutConfig(object())(inputs))
        super().__init__(inputs, layers.Dense(2)(x), **kwargs)
        self.compile(keras.optimizers.Adam(0.1), "mse")
        self.units = units
        self.told = units if told is None else told

    def get_config(self):
        return {"units": self.told, "name": self.name}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def test_a_model_with_a_config_of_its_own_is_rebuilt_by_its_class():
    check_rebuilding(0, OwnModel(5))
    inner = OwnModel(5, name="inner")
    inputs = keras.Input((4,))
    check_rebuilding(0, keras.Model(inputs, layers.Dense(2)(inner(inputs))))


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (7, r"at '[\w/]+' weights \[\(4, 5\), .* weights \[\(4, 7\), "),
        ("x", "rebuild 'own': .*OwnModel has a `get_config`"),
    ],
)
def test_a_wrong_config_of_its_own_is_named(told, message):
    with pytest.raises(ValueError, match=message) as caught:
        check_rebuilding(0, OwnModel(5, told=told, name="own"))
    assert "keras.Model(model.input, model.output)" in str(caught.value)
    assert "WithoutConfig" not in str(caught.value)
