"""The training step against one tape, and against plain Keras."""

import keras
import numpy as np
import pytest

import keras_superweights as ksw
from keras_superweights.sharing import Independent
from tests.training.networks import CLASSES
from tests.training.networks import MEMBERS
from tests.training.networks import RULES
from tests.training.networks import batch_of
from tests.training.networks import compiled
from tests.training.networks import shared
from tests.training.networks import small_net
from tests.training.single_tape import single_tape_gradients
from tests.training.single_tape import step


def check_gradients(network, *batch, frozen=()):
    """Compares a step with the gradients of a single tape."""
    loss, gradients = single_tape_gradients(network, *batch, frozen=frozen)
    logs, taken = step(network, *batch)
    assert float(logs["loss"]) == pytest.approx(loss, abs=1e-5)
    assert len(taken) > 0
    for found, expected, variable in zip(
        taken, gradients, network.trainable_variables, strict=True
    ):
        np.testing.assert_allclose(
            found, expected, rtol=1e-4, atol=1e-5, err_msg=variable.path
        )


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("members", MEMBERS.values(), ids=MEMBERS)
def test_gradients_equal_those_of_a_single_tape(members, rule):
    sharing, budget = rule
    network = compiled(ksw.SuperWeightNetwork(members, budget, sharing))
    check_gradients(network, *batch_of())


@pytest.fixture(scope="module")
def pair():
    return MEMBERS["wide and deep"]


def test_gradients_follow_sample_weights(pair):
    weight = np.array([0, 1, 2, 0.5, 3, 1, 0, 1], "float32")
    check_gradients(compiled(shared(pair)), *batch_of(), weight)


@pytest.mark.parametrize("rule", ["depth", "tied", "flat"])
def test_a_frozen_layer_leaves_the_bank_to_the_others(pair, rule):
    sharing, budget = RULES[rule]
    network = ksw.SuperWeightNetwork(pair, budget, sharing)
    frozen = [(0, "conv0"), (1, "conv2"), (1, "hidden")]
    for member, name in frozen:
        network.members[member].get_layer(name).trainable = False
    compiled(network)
    kernel = np.array(network.members[1].get_layer("conv2").kernel)
    check_gradients(network, *batch_of(), frozen=frozen)
    # The kernel follows its bank, and the bias is frozen.
    after = network.members[1].get_layer("conv2").kernel
    assert np.abs(after - kernel).max() > 1e-5
    biases = network.members[0].get_layer("conv0").weights
    assert not any(v is b for v in network.trainable_variables for b in biases)


@pytest.mark.parametrize("decay_batch_norm", [True, False])
@pytest.mark.parametrize("scaled", [False, True], ids=["plain", "loss scale"])
def test_weight_decay_is_added_to_all_gradients_but_coefficients(
    pair, decay_batch_norm, scaled
):
    network = shared(pair, weight_decay=0.1, decay_batch_norm=decay_batch_norm)
    optimizer = keras.optimizers.SGD(1.0)
    if scaled:
        optimizer = keras.optimizers.LossScaleOptimizer(
            optimizer, initial_scale=64.0
        )
    compiled(network, optimizer)
    x, y = batch_of()
    _, gradients = single_tape_gradients(network, x, y)
    before = [np.array(v) for v in network.trainable_variables]
    _, taken = step(network, x, y)
    kinds = set()
    for found, gradient, value, variable in zip(
        taken, gradients, before, network.trainable_variables, strict=True
    ):
        kind = variable.path.split("/")[-1]
        kinds.add(kind)
        norm = kind in ("gamma", "beta")
        decayed = kind != "coefficients" and (decay_batch_norm or not norm)
        np.testing.assert_allclose(
            found,
            gradient + (0.1 * value if decayed else 0.0),
            rtol=1e-4,
            atol=1e-5,
            err_msg=variable.path,
        )
    assert {"templates", "coefficients", "kernel", "bias"} <= kinds
    assert {"gamma", "beta"} <= kinds


def test_weight_decay_equals_l2_of_plain_keras_through_momentum():
    """L2(c) adds 2c times the variable to the gradient."""

    def build(l2=None):
        regularizer = keras.regularizers.L2(l2) if l2 else None
        decay = {
            "kernel_regularizer": regularizer,
            "bias_regularizer": regularizer,
        }
        return keras.Sequential(
            [
                keras.Input((6,)),
                keras.layers.Dense(8, "tanh", **decay),
                keras.layers.Dense(CLASSES, **decay),
            ]
        )

    x = np.random.default_rng(0).normal(size=(8, 6)).astype("float32")
    y = batch_of()[1]
    plain = build(l2=0.05)
    network = ksw.SuperWeightNetwork(
        build(), sharing=Independent(), weight_decay=0.1
    )
    for source, target in zip(
        plain.trainable_variables, network.trainable_variables, strict=True
    ):
        target.assign(source)
    for model in (plain, network):
        compiled(model, keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True))
        for _ in range(4):
            model.train_on_batch(x, y)
    for one, other in zip(
        plain.trainable_variables, network.trainable_variables, strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("others", [[], [lambda: small_net(4, 4, 8)]])
def test_kernel_regularizers_act_on_generated_kernels(others):
    members = [small_net(6, 2, 4, regularizer="l2"), *others]
    network = compiled(shared(members), keras.optimizers.SGD(0.0))
    x, y = batch_of()
    plain = network.materialize()
    without, _ = single_tape_gradients(network, x, y)
    penalty = sum(
        0.01 * np.square(plain[0].get_layer(layer.name).kernel).sum()
        for layer in plain[0].layers
        if layer.name.startswith("conv")
    )
    logs, _ = step(network, x, y)
    assert penalty > 0.1
    assert float(logs["loss"]) == pytest.approx(without + penalty, rel=1e-4)


def test_a_regularized_layer_called_twice_counts_once():
    """As in plain Keras, whose variables have the regularizer."""

    def build():
        inputs = keras.Input((6,))
        twice = keras.layers.Dense(6, kernel_regularizer="l2", name="twice")
        outputs = keras.layers.Dense(CLASSES)(twice(twice(inputs)))
        return keras.Model(inputs, outputs)

    network = compiled(shared([build, build]), keras.optimizers.SGD(0.0))
    x = np.random.default_rng(0).normal(size=(8, 6)).astype("float32")
    y = batch_of()[1]
    logs = network.train_on_batch(x, y, return_dict=True)
    plain = network.materialize()
    expected = sum(compiled(m).evaluate(x, y, verbose=0)[0] for m in plain)
    assert float(logs["loss"]) == pytest.approx(expected, rel=1e-5)


def with_nested_model_and_dropout(width):
    inner = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            keras.layers.Conv2D(width, 3, activation="relu"),
            keras.layers.Dropout(0.3),
        ]
    )
    inputs = keras.Input((6, 6, 2))
    x = keras.layers.BatchNormalization()(inner(inputs))
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dense(8, activation="relu")(x)
    x = keras.layers.GaussianNoise(0.2)(x)
    return keras.Model(inputs, keras.layers.Dense(CLASSES)(x))


def five_losses(models, x, y, optimizer):
    for model in models:
        compiled(model, optimizer())
    steps = []
    for _ in range(5):
        logs = [m.train_on_batch(x, y, return_dict=True) for m in models]
        if len(models) > 1:
            steps.append([float(each["loss"]) for each in logs])
        else:
            names = [k for k in logs[0] if k.endswith("_loss")]
            steps.append([float(logs[0][k]) for k in sorted(names)])
    return np.array(steps)


OPTIMIZERS = {
    "SGD": lambda: keras.optimizers.SGD(0.1, momentum=0.9),
    "Adam": lambda: keras.optimizers.Adam(0.01),
}


@pytest.mark.parametrize(
    ("given", "optimizer"), [("models", "SGD"), ("functions", "Adam")]
)
def test_independent_trains_exactly_like_plain_keras(given, optimizer):
    x, y = batch_of(16)
    build, make = with_nested_model_and_dropout, OPTIMIZERS[optimizer]
    keras.utils.set_random_seed(7)
    plain = [build(width) for width in (4, 5)]
    expected = five_losses(plain, x, y, make)

    keras.utils.set_random_seed(7)
    members = [lambda: build(4), lambda: build(5)]
    if given == "models":
        members = [member() for member in members]
    network = ksw.SuperWeightNetwork(members, sharing=Independent())
    found = five_losses([network], x, y, make)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.ptp(expected, axis=0).min() > 0.01
