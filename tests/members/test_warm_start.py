"""Networks that begin with the weights of their members."""

import warnings

import keras
import numpy as np
import pytest

import keras_superweights as ksw
from keras_superweights.layers import GeneratedKernel
from keras_superweights.layers import pairs
from keras_superweights.layers import walk
from keras_superweights.sharing import Independent
from keras_superweights.sharing import MixtureEnsembles
from keras_superweights.sharing import Shapeshifter

layers = keras.layers
DRAW = np.random.default_rng(0)
IMAGES = DRAW.normal(size=(96, 6, 6, 2)).astype("float32")
LABELS = (IMAGES.mean(axis=(1, 2)) @ [[30, -20, 0], [0, 20, -30]]).argmax(1)
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def convolutional(name="conv"):
    stack = [keras.Input((6, 6, 2)), layers.Conv2D(6, 3, name="a")]
    for block in "bcd":
        stack += [
            layers.BatchNormalization(momentum=0.5),
            layers.Conv2D(6, 3, padding="same", name=block),
            layers.ReLU(),
        ]
    stack += [layers.DepthwiseConv2D(3, name="e"), layers.Flatten()]
    return keras.Sequential([*stack, layers.Dense(3, name="head")], name=name)


@pytest.fixture(scope="module")
def trained():
    keras.utils.set_random_seed(0)
    model = convolutional()
    model.compile(keras.optimizers.Adam(0.02), LOSS)
    model.fit(IMAGES, LABELS, epochs=8, batch_size=32, verbose=0)
    return model


def recurrent():
    """Generated and private kernels in one cell, in a model in the model."""
    words = keras.Input((6,), dtype="int32")
    inner = keras.Input((6, 4))
    lstm = layers.LSTM(4, recurrent_constraint="unit_norm")
    inner = keras.Model(inner, layers.Bidirectional(lstm)(inner), name="inner")
    x = inner(layers.Embedding(12, 4)(words))
    return keras.Model(words, layers.Dense(3)(layers.Dense(8)(x)))


def randomized(model):
    """Biases begin with zeros, and statistics with ones."""
    draw = np.random.default_rng(1)
    for variable in model.weights:
        variable.assign(draw.uniform(0.2, 1, variable.shape))
    return model


def assert_own_weights_are_equal(model, clone):
    """Compares all but generated kernels, layer by layer."""
    generated = {
        id(getattr(layer, name))
        for _, layer, own in pairs(model, clone)
        for name in getattr(own, "sources", ())
    }
    for path, layer, own in pairs(model, clone):
        expected = [v for v in layer.weights if id(v) not in generated]
        for one, other in zip(expected, own.weights, strict=True):
            np.testing.assert_array_equal(one, other, err_msg=path)


@pytest.fixture(scope="module")
def network(trained):
    """With too few parameters, and one kernel that it keeps."""
    keras.utils.set_random_seed(0)
    before = trained.get_weights()
    rule = Shapeshifter(exclude="a")
    with pytest.warns(UserWarning, match="for the network to begin") as caught:
        network = ksw.share(trained, 0.8, rule, initialize="weights")
    network.said = str(caught[0].message)
    for one, other in zip(before, trained.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)  # the model is left alone
    return network


@pytest.mark.parametrize(
    ("rule", "budget"),
    [(Independent(), 1.0), (Shapeshifter(), 3.0), (MixtureEnsembles(), 2.0)],
    ids=lambda value: str(value),
)
def test_with_room_it_predicts_as_the_model(trained, rule, budget):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        network = ksw.share(trained, budget, rule, initialize="weights")
    expected = trained(IMAGES)
    assert np.ptp(expected) > 1
    np.testing.assert_allclose(network(IMAGES), expected, atol=1e-4)
    assert max(network.initial_errors) < 1e-9
    plain = network.materialize()[0]
    for one, other in zip(plain.weights, trained.weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_what_is_not_generated_is_copied(trained, network):
    assert_own_weights_are_equal(trained, network.members[0])
    model = randomized(recurrent())
    network = ksw.SuperWeightNetwork(
        model, 2.0, Shapeshifter(), initialize="weights"
    )
    assert_own_weights_are_equal(model, network.members[0])
    assert any(
        isinstance(layer, GeneratedKernel)
        and len(layer.sources) < len(layer.kinds)
        for _, layer in walk(network.members[0])
    )


def test_a_trained_model_begins_with_less_loss_than_a_fresh_one(
    trained, network
):
    budget = network.allocation.budget_params
    fresh = ksw.share(trained, budget, Shapeshifter(exclude="a"))
    assert fresh.allocation == network.allocation
    assert fresh.initial_errors == ()
    models = (trained, network, fresh)
    losses = [float(LOSS(LABELS, model(IMAGES))) for model in models]
    assert losses[0] < losses[1] < 0.9 * losses[2]


def test_errors_are_those_of_the_kernels_and_are_said(trained, network):
    plain = network.materialize()[0]
    errors = []
    for kernel in network.allocation.kernels:
        layer = trained.get_layer(kernel.layer)
        given = np.array(layer.kernel)
        left = given - np.array(plain.get_layer(kernel.layer).kernel)
        errors.append(np.sum(left**2) / np.sum(given**2))
    assert errors[0] == 0
    np.testing.assert_allclose(network.initial_errors, errors, atol=1e-5)
    assert f"{np.mean(errors):.0%} on average and" in network.said
    worst = network.allocation.kernels[np.argmax(errors)].layer
    assert f"{max(errors):.0%} in '{worst}'" in network.said


def test_members_of_an_ensemble_begin_with_their_weights(trained):
    members = [trained, randomized(convolutional("other"))]
    network = ksw.SuperWeightNetwork(
        members, 3.0, Shapeshifter(), initialize="weights"
    )
    plain = network.materialize()
    for member, copy in zip(members, plain, strict=True):
        expected = np.array(member(IMAGES))
        np.testing.assert_allclose(
            copy(IMAGES), expected, atol=1e-4 * np.abs(expected).max()
        )


def test_saved_and_loaded_it_is_the_same(network, tmp_path):
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(loaded(IMAGES), network(IMAGES))
    assert loaded.initial_errors == ()  # it began with what was saved


def broken():
    model = convolutional()
    kernel = np.array(model.get_layer("b").kernel)
    kernel[0, 0, 0, 0] = np.nan
    model.get_layer("b").kernel.assign(kernel)
    return model


@pytest.mark.parametrize(
    ("model", "initialize", "message"),
    [
        (convolutional, "weights", r"a function for member 0 \('conv'\)"),
        (broken(), "weights", "the kernel of 'b' in member 0"),
        (convolutional, "imagenet", "Received: initialize='imagenet'"),
        (convolutional, True, "Received: initialize=True"),
    ],
    ids=["function", "not finite", "another word", "no word"],
)
def test_what_cannot_begin_so_is_refused(model, initialize, message):
    for build in (ksw.share, ksw.SuperWeightNetwork):
        with pytest.raises(ValueError, match=f"`initialize.*{message}"):
            build(model, 0.9, Shapeshifter(), initialize=initialize)
