"""IVON against the algorithm by hand, and against a posterior known."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_superweights as ksw
from keras_superweights.optimizers import IVON
from keras_superweights.optimizers.ivon import normal
from tests.optimizers.networks import ByHand
from tests.optimizers.networks import given_noise
from tests.optimizers.networks import gradient
from tests.optimizers.networks import linear
from tests.optimizers.networks import linear_model

CASES = {
    "as it is": {},
    "three samples": {"mc_samples": 3},
    "squares": {"estimator": "gradsq", "mc_samples": 2},
    "clipped, not rescaled": {"clip_radius": 0.7, "rescale_lr": False},
}


def state(optimizer):
    """Momentum and Hessian of the first variable."""
    slots = optimizer._momentums[0], optimizer._hessians[0]
    return [slot.numpy().reshape(-1, 1) for slot in slots]


def mean_of(network):
    (variable,) = network.trainable_variables
    return variable.numpy().astype("float64").reshape(-1, 1)


@pytest.mark.parametrize("name", CASES)
def test_three_steps_equal_those_by_hand(name, monkeypatch):
    options = CASES[name]
    samples = options.get("mc_samples", 1)
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(6, 2)), draw.normal(size=(6, 1))
    normals = draw.normal(size=(3, samples, 2, 1))
    given_noise(monkeypatch, normals.reshape(-1, 2))
    # A schedule: the second and third step have a rate of their own.
    rates = [0.5, 0.5, 0.25]
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay(
        [1], [0.5, 0.25]
    )
    settings = {"ess": 20, "hessian_init": 0.5, "weight_decay": 0.01}
    optimizer = IVON(schedule, **settings, beta_2=0.9, **options)
    network = linear(optimizer)
    start = mean_of(network)
    hand = ByHand(start, 20, 0.5, 0.01, betas=(0.9, 0.9), **options)
    for number, rate in enumerate(rates):
        network.train_on_batch(x, y)
        hand.step(normals[number], lambda w, _: gradient(x, y, w), rate)
        found = mean_of(network)
        np.testing.assert_allclose(found, hand.m, rtol=1e-5, atol=1e-6)
        for found, expected in zip(
            state(optimizer), (hand.g, hand.h), strict=True
        ):
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert np.abs(hand.m - start).max() > 0.1


@pytest.mark.parametrize("beta_2", [0.0, 0.9, 0.99999])
def test_variances_stay_positive_whatever_the_curvature(beta_2):
    """A step halves `h + d` at most, says the formula (row 37)."""
    draw = np.random.default_rng(0)
    variable = keras.Variable(np.zeros(10_000, "float32"))
    optimizer = IVON(0.0, ess=100, beta_2=beta_2, weight_decay=0.0)
    optimizer.build([variable])
    hessian = 10 ** draw.uniform(-6, 4, 10_000)
    optimizer._hessians[0].assign(hessian)
    curvature = draw.normal(size=10_000) * 10 ** draw.uniform(-9, 6, 10_000)
    observed = np.stack([np.zeros(10_000), curvature]).astype("float32")
    optimizer.apply_gradients([(tf.constant(observed), variable)])
    ratio = optimizer._hessians[0].numpy() / hessian
    assert np.isfinite(ratio).all()
    assert 0.499 < ratio.min() < 0.51 and ratio.max() > 1


def test_a_conjugate_posterior_is_found():
    """Bayesian linear regression with a diagonal design, in closed form."""
    draw = np.random.default_rng(0)
    x = np.zeros((40, 2))
    x[:25, 0], x[25:, 1] = draw.normal(size=25), 2 * draw.normal(size=15)
    y = x @ [[1.5], [-0.5]] + draw.normal(size=(40, 1))
    decay = 0.1  # the prior's precision is 40 * 0.1
    precision = (x**2).sum(0) + 40 * decay
    mean = (x.T @ y)[:, 0] / precision

    rate = keras.optimizers.schedules.CosineDecay(0.2, 1000)
    optimizer = IVON(
        rate, ess=40, beta_2=0.99, weight_decay=decay, mc_samples=8, seed=0
    )
    network = linear(optimizer, jit_compile=False)
    data = tf.data.Dataset.from_tensors((x, y)).repeat()
    network.fit(data, steps_per_epoch=1000, verbose=0)
    spread = np.sqrt(1 / precision)
    found = mean_of(network)[:, 0]
    np.testing.assert_allclose(found, mean, atol=0.1 * spread.min())
    variance = 1 / (40 * (state(optimizer)[1][:, 0] + decay))
    np.testing.assert_allclose(variance, 1 / precision, rtol=0.1)


def test_noise_is_drawn_anew_for_each_step_sample_replica_and_seed():
    optimizer = IVON(0.1, ess=1, seed=3)
    variables = [keras.Variable(np.zeros((100, 100))) for _ in range(2)]
    optimizer.build(variables)
    draws = []
    for index in range(2):
        draws += optimizer.sample(variables, optimizer.noise_seed(index))
    optimizer.iterations.assign_add(1)
    again = optimizer.sample(variables, optimizer.noise_seed(0))
    other = IVON(0.1, ess=1, seed=4)
    draws += [*again, *optimizer.sample(variables, other.noise_seed(0))]
    flat = np.stack([np.ravel(each) for each in draws])
    assert np.abs(np.corrcoef(flat) - np.eye(len(flat))).max() < 0.05
    np.testing.assert_allclose(flat.mean(), 0, atol=0.01)
    np.testing.assert_allclose(flat.var(), 1 / 1.0001, rtol=0.02)
    # The same in every run: a run that is resumed goes on with it.
    for one, same in zip(
        again, optimizer.sample(variables, optimizer.noise_seed(0)), strict=True
    ):
        np.testing.assert_array_equal(one, same)


def test_noise_is_normal():
    """By the share of it below each quantile, also where a size is odd."""
    noise = np.array(normal((33, 3, 1001), tf.constant([1, 2]), "float32"))
    assert noise.shape == (33, 3, 1001)
    for deviations in (-3, -2, -1, -0.5, 0, 0.5, 1, 2, 3):
        expected = (1 + math.erf(deviations / 2**0.5)) / 2
        share = (noise < deviations).mean()
        assert share == pytest.approx(
            expected, abs=4 * (expected * (1 - expected) / noise.size) ** 0.5
        )
    first, second = noise.reshape(-1)[: noise.size // 2 * 2].reshape(2, -1)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.02
    assert abs(np.corrcoef(first[1:], first[:-1])[0, 1]) < 0.02


@pytest.mark.parametrize("estimator", ["price", "gradsq"])
def test_a_scaled_loss_changes_nothing_and_an_overflow_is_left_out(estimator):
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(6, 2)), draw.normal(size=(6, 1))
    found = []
    for scaled in (False, True):
        keras.utils.set_random_seed(0)
        ivon = IVON(0.1, ess=6, beta_2=0.9, estimator=estimator, seed=0)
        optimizer = ivon
        if scaled:
            optimizer = keras.optimizers.LossScaleOptimizer(
                ivon, initial_scale=64.0
            )
        network = linear(optimizer)
        for _ in range(2):
            network.train_on_batch(x, y)
        found.append([*network.get_weights(), *state(ivon)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    network.train_on_batch(x * np.inf, y)
    for one, other in zip(
        [*network.get_weights(), *state(ivon)], found[1], strict=True
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("policy", "dtype"),
    [("mixed_bfloat16", "float32"), ("bfloat16", "float32"), ("float64",) * 2],
)
def test_its_state_is_never_of_half_precision(policy, dtype):
    model = linear_model(dtype=policy)
    network = ksw.SuperWeightNetwork(model, sharing=ksw.sharing.Independent())
    optimizer = IVON(0.1, ess=4)
    network.compile(optimizer, "mse", run_eagerly=True)
    network.train_on_batch(np.ones((4, 2)), np.ones((4, 1)))
    slots = optimizer._momentums + optimizer._hessians
    assert {slot.dtype for slot in slots} == {dtype}
    assert all(np.isfinite(slot).all() for slot in slots)


def test_its_config_makes_an_equal_one():
    settings = {
        "learning_rate": 0.25,
        "ess": 7,
        "beta_1": 0.5,
        "beta_2": 0.75,
        "weight_decay": 0.125,
        "hessian_init": 2.0,
        "clip_radius": 3.0,
        "mc_samples": 2,
        "estimator": "gradsq",
        "rescale_lr": False,
        "seed": 5,
        "name": "mine",
    }
    config = IVON(**settings).get_config()
    assert settings.items() <= config.items()
    assert IVON.from_config(dict(config)).get_config() == config
    assert IVON(ess=1).seed != IVON(ess=1).seed


@pytest.mark.parametrize(
    ("argument", "value", "told"),
    [
        ("ess", None, "number of training examples, not of batches"),
        ("ess", 0, "at least 1. Received: ess=0"),
        ("ess", True, "at least 1. Received: ess=True"),
        ("ess", math.inf, "at least 1. Received: ess=inf"),
        ("beta_1", 1.0, "below 1. Received: beta_1=1.0"),
        ("beta_2", "x", "below 1. Received: beta_2='x'"),
        ("weight_decay", -1.0, "from 0 on. Received: weight_decay=-1.0"),
        ("hessian_init", 0, "above 0. Received: hessian_init=0"),
        ("clip_radius", math.nan, "above 0. Received: clip_radius=nan"),
        ("mc_samples", 0, "positive integer. Received: mc_samples=0"),
        ("estimator", "hutchinson", "'price', 'gradsq'.*'hutchinson'"),
        ("rescale_lr", "no", "True or False.*rescale_lr='no'"),
        ("seed", -1, "least 0. Received: seed=-1"),
        ("clipnorm", 1.0, "`clipnorm` of `IVON` must be None.*`clip_radius`"),
        ("gradient_accumulation_steps", 2, "must be None.*`mc_samples`"),
    ],
)
def test_wrong_arguments_are_refused(argument, value, told):
    with pytest.raises((TypeError, ValueError), match=told):
        IVON(0.1, **{"ess": 100, argument: value})


def test_plain_models_and_a_second_weight_decay_are_refused():
    model = linear_model()
    model.compile(IVON(0.1, ess=4), "mse", run_eagerly=True)
    with pytest.raises(ValueError, match="at sampled.*sharing=.*Independent"):
        model.train_on_batch(np.ones((4, 2)), np.ones((4, 1)))
    network = ksw.SuperWeightNetwork(
        model, sharing=ksw.sharing.Independent(), weight_decay=0.1
    )
    scaled = keras.optimizers.LossScaleOptimizer(IVON(0.1, ess=4))
    for optimizer in (IVON(0.1, ess=4), scaled):
        with pytest.raises(
            ValueError, match="must be 0.*Received: weight_decay=0"
        ):
            network.compile(optimizer, "mse")
