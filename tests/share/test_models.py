"""Models of all kinds through `share`, against plain Keras."""

import keras
import numpy as np
import pytest

import keras_superweights as ksw
from keras_superweights.keras_internals import flat_layers
from keras_superweights.sharing import Independent
from tests.share.models import MODELS
from tests.share.models import NUM
from tests.share.models import assert_same_outputs
from tests.share.models import attention
from tests.share.models import batch
from tests.share.models import compiled
from tests.share.models import nested
from tests.share.models import reloaded
from tests.share.models import retrieval
from tests.share.models import text
from tests.share.models import words

layers = keras.layers


@pytest.fixture(scope="module", params=MODELS, ids=lambda b: b.__name__)
def trained(request):
    """`(function that builds the model, network trained inside 60 %)`."""
    x, y, arguments = batch(request.param)
    network = compiled(ksw.share(request.param(), 0.6), arguments)
    history = network.fit(x, y, epochs=2, batch_size=NUM, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    return request.param, network


def test_it_has_the_names_shapes_and_outputs_of_the_model(trained):
    build, network = trained
    model = build()
    assert network.name == model.name
    assert network.input_shape == model.input_shape
    assert network.output_shape == model.output_shape
    for attribute in ("inputs", "outputs"):
        found, expected = (getattr(m, attribute) for m in (network, model))
        assert [t.shape for t in found] == [t.shape for t in expected]
    assert [t.name for t in network.inputs] == [t.name for t in model.inputs]
    # Input tensors and layers have one name.
    assert network.input_names == [t.name for t in model.inputs]
    names = getattr(model, "output_names", ["label"])
    assert network.output_names == names


def test_what_it_is_made_into_predicts_the_same(trained):
    build, network = trained
    x, _, _ = batch(build)
    (plain,) = network.materialize()
    assert type(plain) is type(build())
    assert_same_outputs(plain(x), network(x))
    found = compiled(plain, {}).predict(x, verbose=0)
    assert_same_outputs(found, network.predict(x, verbose=0))
    kinds = [type(layer) for layer in flat_layers(build())]
    assert [type(layer) for layer in flat_layers(plain)] == kinds


def test_saved_and_loaded_it_predicts_and_trains_on_the_same(trained, tmp_path):
    build, network = trained
    x, y, _ = batch(build)
    loaded = []
    for _ in range(2):
        keras.utils.set_random_seed(0)  # Keras does not save that of dropout
        loaded.append(reloaded(network, tmp_path))
    one, other = loaded
    assert one.allocation == network.allocation
    assert one.output_names == network.output_names
    for model in loaded:
        assert_same_outputs(model(x), network(x), atol=0)
        model.run_eagerly = True
    expected = one.evaluate(x, y, verbose=0, return_dict=True)
    assert other.evaluate(x, y, verbose=0, return_dict=True) == expected
    assert one.train_on_batch(x, y)[0] == other.train_on_batch(x, y)[0]


def test_evaluation_is_that_of_the_plain_model(trained):
    build, network = trained
    x, y, arguments = batch(build)
    plain = compiled(network.materialize()[0], arguments)
    if build is retrieval:  # for dicts Keras cannot weigh outputs in a list
        y = [y[name] for name in network.output_names]
    weight = np.linspace(0, 2, NUM)
    for kwargs in ({}, {"sample_weight": weight}):
        found = network.evaluate(x, y, verbose=0, return_dict=True, **kwargs)
        expected = plain.evaluate(x, y, verbose=0, return_dict=True, **kwargs)
        assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("build", MODELS, ids=lambda b: b.__name__)
def test_independent_equals_the_plain_model_step_by_step(build):
    x, y, arguments = batch(build)
    model = build()
    network = ksw.share(model, 1.0, Independent())
    if build is attention:  # Keras draws anew for what is not built at once
        network.set_weights(model.get_weights())
    for one, other in zip(model.weights, network.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    for each in (model, network):
        compiled(each, arguments, keras.optimizers.SGD(0.5))
    losses = []
    for _ in range(3):
        logs = model.train_on_batch(x, y, return_dict=True)
        found = network.train_on_batch(x, y, return_dict=True)
        assert found == pytest.approx(logs, abs=1e-5)
        losses.append(logs["loss"])
        for one, other in zip(model.weights, network.weights, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)
    assert np.ptp(losses) > 1e-3


@pytest.mark.parametrize("build", [text, nested], ids=lambda b: b.__name__)
def test_a_traced_step_is_the_eager_one(build):
    x, y, arguments = batch(build)
    weights = []
    for eager in (True, False):
        keras.utils.set_random_seed(0)
        network = ksw.share(build(), 0.6)
        network.compile("sgd", **arguments, run_eagerly=eager)
        network.train_on_batch(x, y)
        weights.append(network.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_masks_of_outputs_reach_the_loss():
    def build():
        inputs = keras.Input((6,), dtype="int32")
        x = layers.Embedding(12, 4, mask_zero=True)(inputs)
        x = layers.GRU(5, return_sequences=True)(x)
        return keras.Model(inputs, layers.Dense(3)(x))

    x = words(np.random.default_rng(0))
    y = np.ones((NUM, 6, 3), "float32")
    network = compiled(ksw.share(build, 0.8), {"loss": "mse"}, "sgd")
    plain = compiled(network.materialize()[0], {"loss": "mse"})
    expected = float(np.square(plain(x)[x > 0] - 1).mean())
    assert network.evaluate(x, y, verbose=0) == pytest.approx(
        plain.evaluate(x, y, verbose=0), rel=1e-5
    )
    assert network.train_on_batch(x, y) == pytest.approx(expected, rel=1e-5)


def test_a_model_that_was_compiled_gives_nothing_of_it():
    x, y, arguments = batch(text)
    model = compiled(text(), arguments)
    model.train_on_batch(x, y)
    before = model.get_weights()
    network = ksw.share(model, 0.6)
    for each in (network, network.members[0], network.materialize()[0]):
        assert not each.compiled
    assert model.compiled
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
