"""The training step against one tape, and against plain Keras."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_superweights as ksw
from keras_superweights.sharing import Independent
from tests.training.networks import CLASSES
from tests.training.networks import MEMBERS
from tests.training.networks import RULES
from tests.training.networks import batch_of
from tests.training.networks import compiled
from tests.training.networks import shared


def single_tape_gradients(network, x, y, sample_weight=None, frozen=()):
    """Differentiates the loss of plain Keras models under one tape.

    Kernels are the generator's, which tests of banks compare with NumPy;
    those in `frozen`, pairs `(member, layer)`, are constants.
    """
    plain = network.materialize()
    variables = [v.value for v in network.trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch(variables)
        generated = network.generator.kernels_from(
            network.generator.superweights()
        )
        kernels = {
            (spec.member, spec.layer): generated.get(index)
            for index, spec in enumerate(network.allocation.kernels)
        }
        for key in frozen:
            kernels[key] = tf.stop_gradient(kernels[key])
        total = 0.0
        for index, model in enumerate(plain):
            values = {}
            for layer in model.layers:
                if not layer.weights:
                    continue
                own = iter(network.members[index].get_layer(layer.name).weights)
                for variable in layer.weights:
                    kernel = kernels.get((index, layer.name))
                    is_kernel = variable is getattr(layer, "kernel", None)
                    values[id(variable)] = (
                        kernel
                        if is_kernel and kernel is not None
                        else next(own).value
                    )
            logits, _ = model.stateless_call(
                [values[id(v)] for v in model.trainable_variables],
                [values[id(v)] for v in model.non_trainable_variables],
                x,
                training=True,
            )
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)
            if sample_weight is not None:
                losses = losses * sample_weight
            total += tf.reduce_mean(losses)
    # A bank whose readers are all frozen has no gradient.
    unconnected = "zero" if frozen else "none"
    gradients = tape.gradient(total, variables, None, unconnected)
    return float(total), [np.array(g) for g in gradients]


def step(network, x, y, sample_weight=None):
    """Returns the logs of a step of SGD(1.0), and each variable's decrease."""
    before = [np.array(v) for v in network.trainable_variables]
    logs = network.train_on_batch(x, y, sample_weight, return_dict=True)
    after = [np.array(v) for v in network.trainable_variables]
    return logs, [b - a for b, a in zip(before, after, strict=True)]


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


@pytest.mark.parametrize("num_members", [1, 2])
def test_a_regularized_layer_called_twice_counts_once(num_members):
    """As in plain Keras, whose variables have the regularizer."""

    def build():
        inputs = keras.Input((6,))
        twice = keras.layers.Dense(6, kernel_regularizer="l2", name="twice")
        outputs = keras.layers.Dense(CLASSES)(twice(twice(inputs)))
        return keras.Model(inputs, outputs)

    network = shared([build] * num_members, 1.0)
    compiled(network, keras.optimizers.SGD(0.0))
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
        steps.append([each["loss"] for each in logs])
        if len(models) == 1:
            steps[-1] = [logs[0][f"member_{index}_loss"] for index in range(2)]
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
