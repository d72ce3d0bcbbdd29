"""Layer classes that are made shareable, by the user or by their parents."""

import inspect
import re

import keras
import numpy as np
import pytest

import keras_superweights as ksw
from keras_superweights.layers import GENERATED
from keras_superweights.layers import GeneratedKernel
from keras_superweights.layers import generated_class
from keras_superweights.layers import why_not
from keras_superweights.members.allocating import describe

layers = keras.layers
register = ksw.layers.register


@pytest.fixture(autouse=True)
def forgotten():
    """No class that a test registers stays so."""
    before = dict(GENERATED)
    yield
    GENERATED.clear()
    GENERATED.update(before)


@keras.saving.register_keras_serializable("test_registry")
class LowRank(layers.Layer):
    """A kernel of the user's own, the product of two; one is a property."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, shape):
        self.down = self.add_weight(
            shape=(shape[-1], 3), name="d", regularizer="l2"
        )
        self._up = self.add_weight(shape=(3, self.units), name="u")
        self.scale = self.add_weight(shape=(self.units,), initializer="ones")

    @property
    def up(self):
        return self._up

    def call(self, inputs):
        return inputs @ self.down @ self.up * self.scale

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def stack(*inner, features=6):
    return keras.Sequential(
        [keras.Input((features,)), *inner, layers.Dense(2, name="head")]
    )


def shared(model):
    return [(k.layer, k.weight, k.kind) for k in describe([model])[0].kernels]


def test_a_registered_layer_is_shared_saved_and_made_plain(tmp_path):
    register(LowRank, {"down": "dense", "up": "dense"})
    model = stack(LowRank(6, name="a"), LowRank(6, name="b"))
    assert shared(model) == [
        (layer, weight, "dense") for layer in "ab" for weight in ("down", "up")
    ]
    network = ksw.share(model, 0.8)
    x = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")
    network.compile("sgd", "mse", run_eagerly=True)
    losses = [network.train_on_batch(x, x[:, :2]) for _ in range(3)]
    assert losses[-1] < losses[0]
    assert len(network.losses) == 2  # the regularizer of `down`
    (plain,) = network.materialize()
    assert type(plain.get_layer("a")) is LowRank
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    for each in (plain, loaded):
        np.testing.assert_allclose(each(x), network(x), atol=1e-6)


def test_the_fan_in_of_a_kernel_is_what_the_user_says():
    register(LowRank, {"down": "dense"}, fan_in=lambda layer: layer.units * 7)
    (spec,) = describe([stack(LowRank(6))])
    assert [kernel.fan_in for kernel in spec.kernels] == [42]


def test_the_example_registers_and_shares():
    (example,) = re.findall(
        r"```python\n(.*?)```", inspect.getdoc(register), re.DOTALL
    )
    names = {"keras": keras, "ksw": ksw, "Other": LowRank}
    exec(example.replace('{"kernel": "conv"}', '{"down": "dense"}'), names)
    assert issubclass(generated_class(LowRank), GeneratedKernel)
    assert len(shared(stack(names["Linear"](), names["Linear"]()))) == 2


class Plain(layers.Dense):
    """Overrides only what is harmless."""

    limit = 3

    def __init__(self, units, extra=1, **kwargs):
        super().__init__(units, **kwargs)
        self.extra = extra

    def get_config(self):
        return {**super().get_config(), "extra": self.extra}

    def describe(self):
        return self.extra


class Mixin:
    def describe(self):
        return "mixed in"


class Grandchild(Mixin, Plain):
    pass


class Doubled(layers.Dense):
    def call(self, inputs):
        return 2 * super().call(inputs)


class OfDoubled(Doubled):
    pass


class Normed(layers.Dense):
    @property
    def kernel(self):
        return self._kernel / 2


class Rebuilding:
    def build(self, shape):
        super().build(shape)


class Mixed(Rebuilding, layers.Dense):
    pass


class Cell(layers.GRUCell):
    """Its kernel is an attribute of layers, but not of the parent class."""

    @property
    def kernel(self):
        return None


@pytest.mark.parametrize("kind", [Plain, Grandchild])
def test_a_subclass_that_changes_nothing_is_shared(kind):
    model = stack(kind(5, name="mine"))
    assert shared(model) == [("mine", "kernel", "dense")]
    generated = generated_class(kind)
    assert generated is generated_class(kind)
    assert issubclass(generated, kind) and kind not in GENERATED


@pytest.mark.parametrize(
    ("kind", "parent", "what"),
    [
        (Doubled, "Dense", "`call`"),
        (OfDoubled, "Dense", "`call`"),
        (Normed, "Dense", "`kernel`"),
        (Mixed, "Dense", "`build`"),
        (Cell, "GRUCell", "`kernel`"),
    ],
)
def test_a_subclass_that_may_use_its_kernel_otherwise_is_not(
    kind, parent, what
):
    assert generated_class(kind) is None
    reason = why_not(kind)
    assert f"derives from {parent} and overrides {what}" in reason
    assert "`keras_superweights.layers.register`" in reason


def test_a_subclass_that_is_registered_is_shared_and_so_are_its_own():
    assert generated_class(OfDoubled) is None
    register(Doubled, {"kernel": "dense"})
    model = stack(Doubled(5, name="one"), OfDoubled(5, name="two"))
    assert [layer for layer, _, _ in shared(model)] == ["one", "two"]


DENSE = {"kernel": "dense"}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((layers.Dense(3), DENSE), TypeError, "`layer_class` must be a class"),
        ((int, DENSE), TypeError, "`layer_class` must be a class.*int"),
        ((keras.Sequential, DENSE), TypeError, "one by one.*Sequential"),
        ((LowRank,), TypeError, "`weights` must be a dict.*None"),
        ((LowRank, ["down"]), TypeError, r"`weights` must be a dict.*\['down"),
        ((LowRank, {}), ValueError, r"a name for each kernel.*weights=\{\}"),
        ((LowRank, {"down": "linear"}), ValueError, "'embedding'.*'linear'"),
        ((LowRank, {1: "dense"}), ValueError, "a name for each.*1: 'dense'"),
        ((LowRank, {"down": "dense"}, 3), TypeError, "`fan_in` must be"),
        (
            (layers.Dense, {"kernel": "conv"}),
            ValueError,
            "Dense is registered already, with weights={'kernel': 'dense'}",
        ),
    ],
    ids=str,
)
def test_bad_arguments_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        register(*arguments)


def test_registering_again_with_the_same_weights_is_no_error():
    for _ in range(2):
        assert register(LowRank, {"down": "dense"}) is LowRank


@pytest.mark.parametrize(
    ("weight", "found"),
    [
        ("kernel", "has no such weight"),
        ("units", "has 6"),
        ("scale", "path=.*shape=.6,"),
    ],
)
def test_a_weight_that_the_layer_has_not_is_named(weight, found):
    register(LowRank, {weight: "dense"})
    message = f"LowRank .*kernel '{weight}'.*layer 'mine' .*{found}"
    with pytest.raises(ValueError, match=message):
        ksw.share(stack(LowRank(6, name="mine"), layers.Dense(4)), 0.9)
