"""What `share` takes, refuses and says."""

import inspect
import math
import re

import keras
import numpy as np
import pytest

import keras_superweights as ksw
from keras_superweights.sharing import MixtureEnsembles
from keras_superweights.sharing import Shapeshifter
from tests.share.models import audio

layers = keras.layers


def test_other_rules_names_and_arguments_are_passed_on():
    network = ksw.share(
        audio, 0.9, MixtureEnsembles(), name="mine", weight_decay=1e-3
    )
    assert network.name == "mine"
    assert network.weight_decay == 1e-3
    assert network.allocation.sharing.startswith("MixtureEnsembles")
    assert ksw.share(audio, 0.9).allocation.sharing.startswith("Shapeshifter")


NO_MODEL = "`model` must be one Keras model, or a function"


@pytest.mark.parametrize(
    ("model", "budget", "error", "message"),
    [
        (None, 0.5, TypeError, f"{NO_MODEL}.*model=None"),
        ("a.keras", 0.5, TypeError, f"{NO_MODEL}.*model='a.keras'"),
        ({"a": audio}, 0.5, TypeError, NO_MODEL),
        (layers.Dense(3), 0.5, TypeError, NO_MODEL),
        ([], 0.5, TypeError, f"{NO_MODEL}.*`SuperWeightNetwork"),
        ((audio, audio), 0.5, TypeError, f"{NO_MODEL}.*`SuperWeightNetwork"),
        (audio, None, TypeError, "budget_params=None of type NoneType"),
        (audio, "1M", TypeError, "budget_params='1M' of type str"),
        (audio, 0, ValueError, "`budget_params` must be positive"),
        (audio, 0.0, ValueError, "`budget_params` must be positive"),
        (audio, -5, ValueError, "`budget_params` must be positive"),
        (audio, 1e-9, ValueError, "smallest budget"),
        (audio, 1, ValueError, "smallest budget"),
    ],
)
def test_bad_arguments_are_refused(model, budget, error, message):
    with pytest.raises(error, match=message):
        ksw.share(model, budget)


@keras.saving.register_keras_serializable("test_share")
class Own(layers.Layer):
    """A layer of the user's own, with a kernel that nobody knows."""

    def build(self, shape):
        self.matrix = self.add_weight(shape=(shape[-1], 4), name="matrix")

    def call(self, inputs):
        return inputs @ self.matrix


@keras.saving.register_keras_serializable("test_share")
def double(x):
    return 2 * x


def stack(*inner):
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(8, name="a"),
            layers.Dense(8, name="b"),
            *inner,
            layers.Dense(3, name="head"),
        ],
        name="stack",
    )


def partly():
    """Has six kernels: two can be shared, two are frozen or in the head."""
    frozen = layers.Dense(4, trainable=False, name="frozen")
    rnn = [layers.Reshape((2, 2)), layers.SimpleRNN(4, name="rnn")]
    inner = keras.Sequential(rnn, name="inner")
    return stack(layers.Lambda(double), Own(name="own"), frozen, inner)


def test_what_cannot_be_shared_is_said_and_the_rest_is_shared():
    with pytest.warns(UserWarning, match="Some kernels of 'stack'") as caught:
        network = ksw.share(partly(), 0.9)
    (warning,) = caught
    assert warning.filename == __file__  # where the user has to look
    text = str(warning.message)
    assert "'own/matrix' (32 scalars): Own is not a layer that" in text
    assert "'inner/rnn/cell/kernel', " in text and "SimpleRNNCell is" in text
    assert "frozen" not in text and "head" not in text
    kernels = network.allocation.kernels
    assert [kernel.layer for kernel in kernels] == ["a", "b"]
    assert not network.allocation.private_kernels
    count = sum(math.prod(v.shape) for v in network.trainable_variables)
    assert count == network.allocation.num_params


def test_strict_refuses_what_cannot_be_shared():
    paths = "own/matrix.*inner/rnn/cell/kernel.*recurrent_kernel"
    with pytest.raises(ValueError, match=f"`strict=True`.*{paths}"):
        ksw.share(partly(), 0.9, strict=True)


@pytest.mark.parametrize("strict", [False, True])
def test_what_the_user_leaves_out_needs_no_word(strict, recwarn):
    model = stack(layers.Lambda(double), layers.BatchNormalization())
    model.get_layer("a").trainable = False
    network = ksw.share(model, 0.9, strict=strict)
    rule = Shapeshifter(exclude="b", kinds="dense")
    ksw.share(stack(layers.Dense(8)), 0.95, rule, strict=strict)
    assert not [w for w in recwarn if w.category is UserWarning]
    x = np.ones((2, 4), "float32")
    np.testing.assert_allclose(
        network.materialize()[0](x), network(x), atol=1e-6
    )


def test_stores_that_are_not_of_all_layers_are_refused():
    with pytest.raises(ValueError, match=r"`stores`.*\['b'\] are of no layer"):
        ksw.share(stack(), 0.9, Shapeshifter(stores=["*", "b"]))
    with pytest.raises(TypeError, match="`stores`.*stores={'a': 0, 'b': 1}"):
        Shapeshifter(stores={"a": 0, "b": 1})


def test_a_network_is_not_shared_again():
    network = ksw.share(audio, 0.9)
    with pytest.raises(TypeError, match="'audio'.*SuperWeightNetwork already"):
        ksw.share(network, 0.5)
    again = ksw.share(network.materialize()[0], 0.5)
    assert again.allocation.num_params < network.allocation.num_params


def test_the_example_runs_as_written(tmp_path, monkeypatch):
    def small(weights):
        assert weights is None
        inputs = keras.Input((6,))
        x = layers.Dense(8)(layers.Dense(8)(inputs))
        return keras.Model(inputs, layers.Dense(3, "softmax")(x))

    monkeypatch.setattr(keras.applications, "MobileNetV2", small)
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(
        r"```python\n(.*?)```", inspect.getdoc(ksw.share), re.DOTALL
    )
    example = example.replace("budget_params=0.1", "budget_params=0.6")
    names = {"images": np.ones((4, 6)), "labels": np.array([0, 1, 2, 0])}
    exec(example, {**names, "keras": keras, "ksw": ksw})
    loaded = keras.models.load_model("mobilenet.keras")
    assert loaded.output_shape == (None, 3)


def test_a_network_of_several_members_has_no_inputs_of_its_own():
    network = ksw.SuperWeightNetwork([audio(), audio()], 0.8)
    for name in ("inputs", "outputs", "input_names", "output_names"):
        with pytest.raises(AttributeError, match=rf"members\[0\]\.{name}"):
            getattr(network, name)
        assert not hasattr(network, name)
