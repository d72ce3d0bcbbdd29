"""Steps at sampled weights against steps of weights set to them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_superweights as ksw
from keras_superweights.optimizers import IVON
from keras_superweights.optimizers import sampled_weights
from keras_superweights.search import GradientRecorder
from tests.contracts import cases
from tests.optimizers.networks import linear
from tests.training.networks import batch_of
from tests.training.networks import compiled
from tests.training.networks import shared
from tests.training.networks import small_net


def with_state(optimizer):
    """Members with statistics, random layers and losses of layers."""

    def member():
        inputs = keras.Input((6, 6, 2))
        x = small_net(regularizer="l2")(inputs)
        x = keras.layers.Dropout(0.5, seed=1)(x)
        x = keras.layers.GaussianNoise(0.1)(x)  # of Keras' global seed
        x = keras.layers.ActivityRegularization(l2=0.1)(x)
        return keras.Model(inputs, keras.layers.Dense(3)(x))

    keras.utils.set_random_seed(0)
    return compiled(shared([member] * 2), optimizer), batch_of()


def case(name, optimizer):
    if name == "state":
        return with_state(optimizer)
    network = cases.build(name)
    batch = cases.batch(network)
    network.compile(optimizer, cases.loss(network.ensemble), run_eagerly=True)
    return network, batch


NAMES = ["nested", "embeddings", "rank one", "masked", "pixels", "state"]


@pytest.mark.parametrize("name", NAMES)
def test_a_step_takes_gradients_at_the_sample_and_keeps_the_mean(name):
    """Whatever the rule, the parts and the kind of ensemble."""
    ivon = IVON(0.0, ess=50, seed=0)
    network, (x, y) = case(name, ivon)
    ivon.build(network.trainable_variables)
    means = [np.array(v) for v in network.trainable_variables]
    drawn = ivon.sample(network.trainable_variables, ivon.noise_seed(0))
    logs = network.train_on_batch(x, y, return_dict=True)

    other, _ = case(name, keras.optimizers.SGD(1.0))
    for variable, value in zip(other.trainable_variables, drawn, strict=True):
        variable.assign(value)
    expected = other.train_on_batch(x, y, return_dict=True)
    assert logs["loss"] == pytest.approx(expected["loss"], rel=1e-5)
    for variable, mean, momentum, value, after in zip(
        network.trainable_variables,
        means,
        ivon._momentums,
        drawn,
        other.trainable_variables,
        strict=True,
    ):
        np.testing.assert_array_equal(variable, mean)  # bit for bit
        np.testing.assert_allclose(
            np.array(momentum) / 0.1,
            np.array(value) - np.array(after),
            rtol=1e-4,
            atol=1e-4,
            err_msg=variable.path,
        )
    # Statistics and seeds of layers move on as ever.
    for one, same in zip(
        network.non_trainable_variables,
        other.non_trainable_variables,
        strict=True,
    ):
        np.testing.assert_allclose(one, same, rtol=1e-5, err_msg=one.path)


def test_similarities_are_recorded_at_samples():
    ivon = IVON(0.1, ess=50, mc_samples=2, seed=0)
    network, batch = case("nested", ivon)
    network.record_gradients(recorder := GradientRecorder(network.generator))
    network.train_on_batch(*batch)
    gradients = recorder.coefficient_gradients()
    assert all(np.abs(each).max() > 0 for each in gradients)


def test_a_traced_step_draws_anew_and_as_an_eager_one():
    x, y = np.ones((4, 2), "float32"), np.zeros((4, 1), "float32")
    losses = []
    for options in (
        {"run_eagerly": True},
        {"jit_compile": False},
        {"jit_compile": True},  # XLA makes other noise of the same seed
    ):
        keras.utils.set_random_seed(0)
        network = linear(IVON(0.0, ess=4, mc_samples=2, seed=0), **options)
        losses.append([network.train_on_batch(x, y) for _ in range(3)])
        assert np.isfinite(losses[-1]).all() and len(set(losses[-1])) == 3
    np.testing.assert_allclose(*losses[:2], rtol=1e-5)


@pytest.fixture
def trained():
    """A network of two members after a step of IVON, and a batch."""
    network, batch = case("nested", IVON(0.1, ess=2, seed=0))
    network.train_on_batch(*batch)
    return network, batch


def test_sampled_weights_are_drawn_and_given_back(trained):
    network, _ = trained
    variables = network.trainable_variables
    means = [np.array(v) for v in variables]
    ivon = network.optimizer
    noise = []
    for seed in (0, 1, 0):
        with sampled_weights(network, seed):
            drawn = [np.array(v) for v in variables]
        for value, mean, slot in zip(drawn, means, ivon._hessians, strict=True):
            spread = np.sqrt(2 * (np.array(slot) + 1e-4))
            noise.append(np.ravel((value - mean) * spread))
    first, second, again = np.reshape(np.concatenate(noise), (3, -1))
    np.testing.assert_array_equal(first, again)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.2
    np.testing.assert_allclose([first.std(), second.std()], 1, atol=0.15)
    with pytest.raises(KeyError), sampled_weights(network):
        raise KeyError
    for variable, mean in zip(variables, means, strict=True):
        np.testing.assert_array_equal(variable, mean)


def test_predictions_of_samples_are_averaged_for_each_member(trained):
    network, (x, y) = trained
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(3)
    logits, labels = ksw.metrics.predict_samples(network, data, 3, seed=5)
    np.testing.assert_array_equal(labels, y)
    expected = [0, 0]
    for seed in (5, 6, 7):
        with sampled_weights(network, seed):
            for member, output in enumerate(network.member_outputs(x)):
                expected[member] += tf.nn.softmax(output).numpy() / 3
    for found, mean in zip(logits, expected, strict=True):
        np.testing.assert_allclose(np.exp(found), mean, rtol=1e-5)
    found = ksw.metrics.ensemble_probabilities(logits)
    np.testing.assert_allclose(found, np.mean(expected, axis=0), rtol=1e-5)


def test_samples_need_ivon_and_data_that_can_be_read_again(trained):
    network, batch = trained
    with pytest.raises(ValueError, match="must give its batches again"):
        ksw.metrics.predict_samples(network, iter([batch]), 2)
    with pytest.raises(ValueError, match="positive integer.*num_samples=0"):
        ksw.metrics.predict_samples(network, [batch], 0)
    network.compile("sgd", cases.loss(network.ensemble))
    with (
        pytest.raises(ValueError, match="trained by.*IVON.*SGD"),
        sampled_weights(network),
    ):
        pass
