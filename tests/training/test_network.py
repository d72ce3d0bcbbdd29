"""The training step and the objects that Keras users expect of a model."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_superweights as ksw
from keras_superweights.sharing import Independent
from keras_superweights.sharing import MixtureEnsembles
from keras_superweights.sharing import Shapeshifter
from keras_superweights.sharing import SuperWeights

CLASSES = 3


def small_net(width=4, depth=3, hidden=6, name=None, regularizer=None):
    """Convolutions of several shapes, batch norm, a dense layer, a head."""
    inputs = keras.Input((6, 6, 2))
    x = inputs
    for index in range(depth):
        x = keras.layers.Conv2D(
            width * (1 + index // 2),
            3,
            padding="same",
            use_bias=index == 0,
            kernel_regularizer=regularizer,
            name=f"conv{index}",
        )(x)
        x = keras.layers.BatchNormalization(name=f"norm{index}")(x)
        x = keras.layers.Activation("tanh")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(hidden, activation="tanh", name="hidden")(x)
    outputs = keras.layers.Dense(CLASSES, name="head")(x)
    return keras.Model(inputs, outputs, name=name)


def batch_of(size=8, seed=0):
    draw = np.random.default_rng(seed)
    images = draw.normal(size=(size, 6, 6, 2)).astype("float32")
    return images, draw.integers(0, CLASSES, size)


def crossentropy():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def compiled(network, optimizer=None, **kwargs):
    """Eager unless told otherwise: for a few steps, tracing costs more."""
    network.compile(
        optimizer or keras.optimizers.SGD(1.0),
        crossentropy(),
        metrics=["accuracy"],
        **(kwargs or {"run_eagerly": True}),
    )
    return network


MEMBERS = {
    "one": [lambda: small_net()],
    "equal": [lambda: small_net(), lambda: small_net()],
    "wide and deep": [lambda: small_net(6, 2, 4), lambda: small_net(4, 4, 8)],
}
RULES = {
    "depth": (SuperWeights(depth_bins=1), 0.8),
    "tied": (SuperWeights(depth_bins=1, tied=True), 0.8),
    "mixture": (MixtureEnsembles(mix_single_layers=True), 1.2),
    "round robin": (MixtureEnsembles(max_templates=2), 1.2),
    "one store": (MixtureEnsembles(), 0.62),
    "flat": (Shapeshifter(), 0.8),
    "independent": (Independent(), 1.0),
}


def generated_by_gathering(network):
    """Every generated kernel as plain TensorFlow, without the library's code.

    Paints which scalar of which SuperWeight lies where, then gathers.
    """
    allocation = network.allocation
    kernels = {}
    for index, spec in enumerate(allocation.kernels):
        vectors = []
        places = np.full(spec.shape, -1)
        begin = 0
        for number, piece in enumerate(allocation.superweights):
            if index not in piece.kernels:
                continue
            store = network.generator.banks[piece.bank].store.value
            row = piece.kernels.index(index)
            size = piece.size
            stored = store.shape[0] // size
            templates = [
                store[t * size : (t + 1) * size]
                for t in (piece.first + np.arange(piece.num_templates)) % stored
            ]
            if piece.mixing == "avg":
                served = [
                    allocation.kernels[k].variance
                    for reader in allocation.readers[piece.bank]
                    for k in reader.kernels
                ]
                scale = math.sqrt(spec.variance / np.mean(served))
                scale /= math.sqrt(piece.num_templates)
                vectors.append(scale * tf.add_n(templates))
            elif piece.ties:
                used = piece.ties[row]
                mixture = network.generator.mixtures[number].coefficients.value
                chosen = (
                    piece.choices[used]
                    if piece.choices
                    else range(piece.num_templates)
                )
                vectors.append(
                    tf.add_n(
                        [
                            mixture[used, i] * templates[t]
                            for i, t in enumerate(chosen)
                        ]
                    )
                )
            else:
                vectors.append(templates[0])
            if piece.length:  # of any shape: the scalars, one after the other
                places = np.arange(size).reshape(spec.shape)
            for a, b, c, d in piece.region:
                block = np.arange(begin, begin + size)
                length = math.prod(piece.window) * (b - a) * (d - c)
                block = block[:length].reshape(*piece.window, b - a, d - c)
                begin += length
                inputs, outputs = spec.shape[-2:]
                inside = block[..., : max(inputs - a, 0), : max(outputs - c, 0)]
                places[..., a:b, c:d][
                    ..., : inside.shape[-2], : inside.shape[-1]
                ] = inside
        if vectors:
            assert (places >= 0).all()
            kernels[spec.member, spec.layer] = tf.gather(
                tf.concat(vectors, axis=0), places
            )
    return kernels


def single_tape_gradients(network, x, y, sample_weight=None, frozen=()):
    """Loss and gradients as one tape over plain Keras models gives them.

    Kernels in `frozen`, `(member, layer)`, are constants.
    """
    plain = network.materialize()
    variables = [v.value for v in network.trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch(variables)
        kernels = generated_by_gathering(network)
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
    # Of a bank whose readers are all frozen there is none.
    unconnected = "zero" if frozen else "none"
    gradients = tape.gradient(total, variables, None, unconnected)
    return float(total), [np.array(g) for g in gradients]


def step(network, x, y, sample_weight=None):
    """What one step of SGD of rate 1 takes off every variable, and its logs."""
    before = [np.array(v) for v in network.trainable_variables]
    logs = network.train_on_batch(x, y, sample_weight, return_dict=True)
    after = [np.array(v) for v in network.trainable_variables]
    return logs, [b - a for b, a in zip(before, after, strict=True)]


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("members", MEMBERS.values(), ids=MEMBERS)
def test_gradients_equal_those_of_a_single_tape(members, rule):
    sharing, budget = rule
    network = compiled(ksw.SuperWeightNetwork(members, budget, sharing))
    sizes = sum(math.prod(v.shape) for v in network.trainable_variables)
    assert sizes == network.allocation.num_params
    x, y = batch_of()
    loss, gradients = single_tape_gradients(network, x, y)
    logs, taken = step(network, x, y)
    assert float(logs["loss"]) == pytest.approx(loss, abs=1e-5)
    assert len(taken) == len(gradients) > 0
    for found, expected, variable in zip(
        taken, gradients, network.trainable_variables, strict=True
    ):
        np.testing.assert_allclose(
            found, expected, rtol=1e-4, atol=1e-5, err_msg=variable.path
        )


@pytest.fixture(scope="module")
def pair():
    return MEMBERS["wide and deep"]


def shared(members, budget_params=0.8, **kwargs):
    return ksw.SuperWeightNetwork(
        members, budget_params, SuperWeights(depth_bins=1), **kwargs
    )


def test_gradients_follow_sample_weights(pair):
    network = compiled(shared(pair))
    x, y = batch_of()
    weight = np.array([0, 1, 2, 0.5, 3, 1, 0, 1], "float32")
    loss, gradients = single_tape_gradients(network, x, y, weight)
    logs, taken = step(network, x, y, weight)
    assert float(logs["loss"]) == pytest.approx(loss, abs=1e-5)
    for found, expected in zip(taken, gradients, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rule", ["depth", "tied", "flat"])
def test_a_frozen_layer_leaves_the_bank_to_the_others(pair, rule):
    sharing, budget = RULES[rule]
    network = ksw.SuperWeightNetwork(pair, budget, sharing)
    frozen = [(0, "conv0"), (1, "conv2"), (1, "hidden")]
    for member, name in frozen:
        network.members[member].get_layer(name).trainable = False
    compiled(network)
    x, y = batch_of()
    loss, gradients = single_tape_gradients(network, x, y, frozen=frozen)
    kernel = np.array(network.members[1].get_layer("conv2").kernel)
    logs, taken = step(network, x, y)
    assert float(logs["loss"]) == pytest.approx(loss, abs=1e-5)
    for found, expected, variable in zip(
        taken, gradients, network.trainable_variables, strict=True
    ):
        np.testing.assert_allclose(
            found, expected, rtol=1e-4, atol=1e-5, err_msg=variable.path
        )
    # It follows its bank, and its bias is frozen with it.
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
    assert kinds == {
        "templates",
        "coefficients",
        "kernel",
        "bias",
        "gamma",
        "beta",
    }


def test_weight_decay_equals_l2_of_plain_keras_through_momentum():
    """Seed-equal starts; L2(c) adds 2c times the variable to the gradient."""

    def build(l2=None):
        regularizer = keras.regularizers.L2(l2) if l2 else None
        inputs = keras.Input((6,))
        x = keras.layers.Dense(
            8,
            "tanh",
            kernel_regularizer=regularizer,
            bias_regularizer=regularizer,
        )(inputs)
        outputs = keras.layers.Dense(
            CLASSES,
            kernel_regularizer=regularizer,
            bias_regularizer=regularizer,
        )(x)
        return keras.Model(inputs, outputs)

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


@pytest.mark.parametrize("name", ["one", "wide and deep"])
def test_kernel_regularizers_act_on_generated_kernels(name):
    members = {
        "one": [small_net(regularizer="l2")],
        "wide and deep": [
            small_net(6, 2, 4, regularizer="l2"),
            small_net(4, 4, 8),
        ],
    }[name]
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
    """As in plain Keras, where the variable has the regularizer."""

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


def with_dropout(width):
    inputs = keras.Input((6, 6, 2))
    x = keras.layers.Conv2D(width, 3, activation="relu")(inputs)
    x = keras.layers.Dropout(0.3)(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dense(8, activation="relu")(x)
    x = keras.layers.GaussianNoise(0.2)(x)
    return keras.Model(inputs, keras.layers.Dense(CLASSES)(x))


def with_nested_model(width):
    inner = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            keras.layers.Conv2D(width, 3, activation="relu"),
            keras.layers.Dropout(0.3),
        ]
    )
    inputs = keras.Input((6, 6, 2))
    x = keras.layers.Flatten()(inner(inputs))
    x = keras.layers.Dense(8, activation="relu")(x)
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


@pytest.mark.parametrize(
    ("build", "given", "optimizer"),
    [
        (with_dropout, "models", "SGD"),
        (with_dropout, "functions", "Adam"),
        (with_nested_model, "models", "Adam"),
        (with_nested_model, "functions", "SGD"),
    ],
)
def test_independent_trains_exactly_like_plain_keras(build, given, optimizer):
    def make():
        return {
            "SGD": lambda: keras.optimizers.SGD(0.1, momentum=0.9),
            "Adam": lambda: keras.optimizers.Adam(0.01),
        }[optimizer]()

    x, y = batch_of(16)
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


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_and_predicts(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        network = shared([small_net(), small_net(6)], weight_decay=1e-3)
        compiled(network, keras.optimizers.SGD(0.1), jit_compile=False)
        x, y = batch_of()
        assert all(v.dtype == "float32" for v in network.trainable_variables)
        first = network.generator.get_weights()
        history = network.fit(x, y, epochs=2, verbose=0).history
        assert np.isfinite(history["loss"]).all()
        moved = [
            np.abs(a - b).max()
            for a, b in zip(first, network.generator.get_weights(), strict=True)
        ]
        assert 0 < max(moved) < 1
        assert np.isfinite(network.predict(x, verbose=0)).all()
        conv = network.members[0].get_layer("conv1")
        assert keras.backend.standardize_dtype(conv.kernel.dtype) == (
            policy.removeprefix("mixed_")
        )
    finally:
        keras.config.set_dtype_policy(before)


@pytest.mark.parametrize(
    "how", [{"jit_compile": True}, {"run_eagerly": True}], ids=str
)
def test_compiled_and_eager_steps_equal_the_traced_one(how):
    x, y = batch_of()
    results = []
    for kwargs in ({"jit_compile": False}, how):
        keras.utils.set_random_seed(1)
        network = shared([small_net(), small_net(6)], weight_decay=1e-3)
        compiled(network, keras.optimizers.SGD(0.1, momentum=0.9), **kwargs)
        logs = [
            network.train_on_batch(x, y, return_dict=True)["loss"]
            for _ in range(2)
        ]
        results.append([np.array(logs), *network.get_weights()])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.fixture(scope="module")
def trained():
    """Two members, fitted on uneven batches; with its history."""
    keras.utils.set_random_seed(0)
    network = shared([small_net(name="a"), small_net(6, name="b")])
    compiled(network, keras.optimizers.SGD(0.1), jit_compile=False)
    x, y = batch_of(20)
    history = network.fit(
        x, y, batch_size=8, epochs=2, validation_data=(x, y), verbose=0
    )
    return network, history.history


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def test_predictions_average_the_members_probabilities(trained):
    network, _ = trained
    x, _ = batch_of(20)
    logits = [model.predict(x, verbose=0) for model in network.materialize()]
    mean = np.mean([softmax(each) for each in logits], axis=0)
    predicted = network.predict(x, batch_size=8, verbose=0)
    np.testing.assert_allclose(np.exp(predicted), mean, atol=1e-5)
    np.testing.assert_allclose(network(x), predicted, atol=1e-5)
    outputs = network.member_outputs(x, training=True)
    assert [output.shape for output in outputs] == [(20, CLASSES)] * 2
    assert network(x, training=True).shape == (20, CLASSES)


def test_evaluation_equals_numpy_on_the_predictions(trained):
    network, _ = trained
    x, y = batch_of(20, seed=1)
    logs = network.evaluate(x, y, batch_size=8, verbose=0, return_dict=True)
    logits = [model.predict(x, verbose=0) for model in network.materialize()]
    probabilities = [softmax(each) for each in logits]
    rows = np.arange(20)
    expected = {
        "loss": -np.log(np.mean(probabilities, axis=0)[rows, y]).mean(),
        "accuracy": (np.mean(probabilities, axis=0).argmax(1) == y).mean(),
    }
    for member, each in enumerate(probabilities):
        expected[f"member_{member}_loss"] = -np.log(each[rows, y]).mean()
        expected[f"member_{member}_accuracy"] = (each.argmax(1) == y).mean()
    expected["diversity"] = ksw.metrics.diversity(probabilities, y)
    assert logs == pytest.approx(expected, abs=1e-5)


def test_weighted_evaluation_means_what_it_means_for_plain_keras(trained):
    network, _ = trained
    x, y = batch_of(20, seed=1)
    weight = np.linspace(0, 3, 20).astype("float32")
    logs = network.evaluate(
        x, y, sample_weight=weight, batch_size=8, verbose=0, return_dict=True
    )
    for index, model in enumerate(network.materialize()):
        plain = compiled(model).evaluate(
            x,
            y,
            sample_weight=weight,
            batch_size=8,
            verbose=0,
            return_dict=True,
        )
        for key, value in plain.items():
            assert logs[f"member_{index}_{key}"] == pytest.approx(
                value, abs=1e-5
            ), key


def test_the_history_has_every_member_in_training_and_validation(trained):
    _, history = trained
    names = ["loss", "accuracy"]
    names += [f"member_{m}_{n}" for m in (0, 1) for n in ("loss", "accuracy")]
    names += ["diversity"]
    assert set(history) == {*names, *(f"val_{name}" for name in names)}
    np.testing.assert_allclose(
        np.add(history["member_0_loss"], history["member_1_loss"]),
        history["loss"],
        rtol=1e-5,
    )


def test_layers_used_outside_the_network_see_the_same_kernels(trained):
    network, _ = trained
    x, _ = batch_of()
    for member, plain in zip(
        network.members, network.materialize(), strict=True
    ):
        np.testing.assert_allclose(member(x), plain(x), atol=1e-5)
        layer = member.get_layer("conv1")
        np.testing.assert_allclose(
            layer.kernel, plain.get_layer("conv1").kernel, atol=1e-6
        )


def test_training_one_member_alone_moves_the_others_kernels():
    network = compiled(shared([small_net(), small_net(6)]))
    x, y = batch_of()
    before = np.array(network.members[1].get_layer("conv1").kernel)
    with tf.GradientTape() as tape:
        loss = crossentropy()(y, network.members[0](x, training=True))
    variables = network.generator.trainable_variables
    for variable, gradient in zip(
        variables,
        tape.gradient(loss, [v.value for v in variables]),
        strict=True,
    ):
        if gradient is not None:
            variable.assign(variable - gradient)
    after = np.array(network.members[1].get_layer("conv1").kernel)
    assert np.abs(after - before).max() > 1e-4


def test_the_summary_names_members_and_parameters(trained):
    network, _ = trained
    lines = []
    network.summary(print_fn=lines.append, expand_nested=True)
    text = "\n".join(map(str, lines))
    assert f"{network.allocation.num_params:,}" in text
    assert "conv1" in text


def test_callbacks_of_keras_run(tmp_path):
    network = compiled(
        shared([small_net(), small_net(6)]), keras.optimizers.SGD(0.1)
    )
    x, y = batch_of(16)
    path = tmp_path / "best.keras"
    network.fit(
        x,
        y,
        epochs=3,
        validation_data=(x, y),
        verbose=0,
        callbacks=[
            keras.callbacks.ModelCheckpoint(
                path, monitor="val_accuracy", save_best_only=True, mode="max"
            ),
            keras.callbacks.EarlyStopping(
                "val_member_1_accuracy",
                patience=5,
                mode="max",
                restore_best_weights=True,
            ),
            keras.callbacks.BackupAndRestore(tmp_path / "backup"),
            keras.callbacks.ReduceLROnPlateau("val_loss", patience=1),
            keras.callbacks.TerminateOnNaN(),
        ],
    )
    assert path.exists()


def test_an_interrupted_run_continues_as_if_it_had_not_been(tmp_path):
    x, y = batch_of(16)

    class Interrupt(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    def fit(directory, *callbacks):
        keras.utils.set_random_seed(2)
        network = shared([small_net(), small_net(6)])
        compiled(network, keras.optimizers.SGD(0.1, momentum=0.9))
        network.fit(
            x,
            y,
            epochs=4,
            shuffle=False,
            verbose=0,
            callbacks=[keras.callbacks.BackupAndRestore(directory), *callbacks],
        )
        return network.get_weights()

    whole = fit(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "part", Interrupt())
    for one, other in zip(whole, fit(tmp_path / "part"), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def several_inputs_and_outputs():
    images = keras.Input((6, 6, 2), name="images")
    numbers = keras.Input((3,), name="numbers")
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(images)
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    x = keras.layers.Concatenate()([keras.layers.Flatten()(x), numbers])
    x = keras.layers.Dense(8, activation="relu")(x)
    outputs = {
        "label": keras.layers.Dense(CLASSES, name="label")(x),
        "size": keras.layers.Dense(1, name="size")(x),
    }
    return keras.Model({"images": images, "numbers": numbers}, outputs)


def test_a_single_network_keeps_its_inputs_outputs_and_losses():
    network = shared(several_inputs_and_outputs(), budget_params=1.2)
    losses = {"label": crossentropy(), "size": "mse"}
    network.compile(
        keras.optimizers.SGD(0.05),
        losses,
        loss_weights={"label": 1.0, "size": 0.5},
        metrics={"label": ["accuracy"], "size": ["mae"]},
        run_eagerly=True,
    )
    images, labels = batch_of(12)
    x = {"images": images, "numbers": np.ones((12, 3), "float32")}
    y = {"label": labels, "size": images.mean(axis=(1, 2, 3))[:, None]}
    history = network.fit(x, y, epochs=3, batch_size=5, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    predicted = network.predict(x, verbose=0)
    (plain,) = network.materialize()
    expected = plain.predict(x, verbose=0)
    assert set(predicted) == {"label", "size"}
    for key, value in expected.items():
        np.testing.assert_allclose(predicted[key], value, atol=1e-5)
    plain.compile(
        loss=losses,
        loss_weights={"label": 1.0, "size": 0.5},
        metrics={"label": ["accuracy"], "size": ["mae"]},
        run_eagerly=True,
    )
    assert network.evaluate(
        x, y, batch_size=5, verbose=0, return_dict=True
    ) == pytest.approx(
        plain.evaluate(x, y, batch_size=5, verbose=0, return_dict=True),
        abs=1e-5,
    )


def test_outputs_in_a_list_are_kept():
    inputs = keras.Input((5,))
    x = keras.layers.Dense(6)(keras.layers.Dense(6)(inputs))
    outputs = [keras.layers.Dense(2)(x), keras.layers.Dense(1)(x)]
    network = shared(keras.Model(inputs, outputs), budget_params=1.2)
    network.compile("sgd", ["mse", "mse"], run_eagerly=True)
    x = np.ones((7, 5), "float32")
    y = [np.ones((7, 2), "float32"), np.ones((7, 1), "float32")]
    logs = network.fit(x, y, batch_size=4, verbose=0).history
    assert np.isfinite(logs["loss"]).all()
    assert [o.shape for o in network.predict(x, verbose=0)] == [(7, 2), (7, 1)]


def test_the_loss_of_uneven_batches_is_the_mean_over_samples():
    """For one member as for several, as plain Keras has it."""
    x, y = batch_of(20)
    for members in ([small_net()], [small_net(), small_net(6)]):
        network = compiled(shared(members))
        parts = network.evaluate(x, y, batch_size=8, verbose=0)[0]
        whole = network.evaluate(x, y, batch_size=20, verbose=0)[0]
        assert parts == pytest.approx(whole, abs=1e-6)


@pytest.mark.parametrize("labels", ["sparse", "column", "one-hot"])
def test_accuracy_fits_the_labels(labels):
    network = shared([small_net(), small_net(6)])
    x, y = batch_of(20)
    loss = crossentropy()
    targets = y[:, None] if labels == "column" else y
    if labels == "one-hot":
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
        targets = np.eye(CLASSES, dtype="float32")[y]
    network.compile("sgd", loss, metrics=["accuracy"], run_eagerly=True)
    logs = network.evaluate(x, targets, verbose=0, return_dict=True)
    for index, model in enumerate(network.materialize()):
        right = model.predict(x, verbose=0).argmax(1) == y
        assert logs[f"member_{index}_accuracy"] == pytest.approx(right.mean())
    right = network.predict(x, verbose=0).argmax(1) == y
    assert logs["accuracy"] == pytest.approx(right.mean())


def test_an_ensemble_without_a_loss_is_refused():
    network = shared([small_net(), small_net(6)])
    network.compile("sgd", jit_compile=False)
    with pytest.raises(ValueError, match="needs a `loss` in `compile"):
        network.train_on_batch(*batch_of())


def test_metrics_of_an_ensemble_in_a_dict_are_refused():
    network = shared([small_net(), small_net(6)])
    with pytest.raises(ValueError, match="`metrics`"):
        network.compile("sgd", crossentropy(), metrics={"head": ["accuracy"]})


@pytest.mark.parametrize(
    "loss",
    [
        "sparse_categorical_crossentropy",
        keras.losses.SparseCategoricalCrossentropy(),
        {"head": "mse"},
        ["mse", "mse"],
    ],
)
def test_losses_of_probabilities_or_several_are_refused_of_ensembles(loss):
    network = shared([small_net(), small_net(6)])
    with pytest.raises(ValueError, match="`loss` must"):
        network.compile("sgd", loss)
    assert not network.compiled
    if not isinstance(loss, list):  # of which plain Keras wants one an output
        shared(small_net()).compile("sgd", loss)


def test_layers_of_a_single_member_are_found_by_name():
    network = shared(small_net(name="net"))
    (member,) = network.members
    assert network.get_layer("conv1") is member.get_layer("conv1")
    assert network.get_layer(name="net") is member
    assert network.get_layer("generator") is network.generator
    assert network.get_layer(index=0) is network.layers[0]
    with pytest.raises(ValueError, match=r"No such layer: conv9.*'conv0'"):
        network.get_layer("conv9")
    with pytest.raises(ValueError, match="only a layer name or"):
        network.get_layer("conv1", 0)
    pair = shared([small_net(name="a"), small_net(6, name="b")])
    assert pair.get_layer("b") is pair.members[1]
    with pytest.raises(ValueError, match=r"No such layer: conv1.*'a', 'b'"):
        pair.get_layer("conv1")


def test_a_network_says_how_it_is_exported(tmp_path):
    with pytest.raises(ValueError, match=r"export_network\(network, directory"):
        shared(small_net()).export(tmp_path / "network")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"weight_decay": -1e-4}, ValueError, "weight_decay=-0.0001"),
        ({"weight_decay": math.nan}, ValueError, "weight_decay=nan"),
        ({"budget_params": -5}, ValueError, "budget_params=-5"),
        ({"budget_params": math.nan}, ValueError, "budget_params=nan"),
        ({"budget_params": True}, TypeError, "budget_params=True"),
        ({"budget_params": "1M"}, TypeError, "budget_params='1M'"),
        ({"budget_params": 1e7}, ValueError, "pass an integer: 10000000"),
        ({"budget_params": 3}, ValueError, "smallest budget that works is"),
        ({"sharing": "superweights"}, TypeError, "sharing='superweights'"),
        ({"sharing": SuperWeights}, TypeError, r"Write `SuperWeights\(\)`"),
        ({"allocation": "{}"}, TypeError, "allocation='{}'"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused(kwargs, error, message):
    with pytest.raises(error, match=message):
        ksw.SuperWeightNetwork([small_net], **kwargs)


def test_an_allocation_and_a_budget_are_refused():
    allocation = ksw.allocate([small_net], 1.2, SuperWeights())
    for extra in ({"budget_params": 0.5}, {"sharing": SuperWeights()}):
        with pytest.raises(ValueError, match="Pass either `allocation`"):
            ksw.SuperWeightNetwork([small_net], allocation=allocation, **extra)


@pytest.mark.parametrize(
    "others",
    [[small_net, small_net], [lambda: small_net(5)], [lambda: small_net(4, 4)]],
    ids=["count", "width", "depth"],
)
def test_an_allocation_of_other_members_is_refused(others):
    allocation = ksw.allocate([small_net], 1.2, SuperWeights())
    with pytest.raises(ValueError, match="`allocation` (was|does)"):
        ksw.SuperWeightNetwork(others, allocation=allocation)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_the_table_of_a_real_network_adds_up(rule):
    sharing, budget = rule
    members = [
        lambda: ksw.models.wide_resnet(10, 1, input_shape=(8, 8, 3)),
        lambda: ksw.models.wide_resnet(16, 2, input_shape=(8, 8, 3)),
    ]
    network = ksw.SuperWeightNetwork(members, budget, sharing)
    built = sum(math.prod(v.shape) for v in network.trainable_variables)
    total = str(network.allocation).split(" trainable scalars")[0].split()[-1]
    assert int(total.replace(",", "")) == built
    assert built <= network.allocation.budget_params
    assert str(network.allocation) == str(
        ksw.allocate(members, budget, sharing)
    )


def test_statistics_of_frozen_layers_are_not_averaged():
    inputs = keras.Input((6,))
    x = keras.layers.BatchNormalization(name="moving")(inputs)
    still = keras.layers.BatchNormalization(name="still")
    still.trainable = False
    x = keras.layers.Dense(4)(still(x))
    model = keras.Model(inputs, keras.layers.Dense(3)(x))
    network = ksw.SuperWeightNetwork(model)
    moving = network.members[0].get_layer("moving")
    assert {id(v) for v in network._statistics()} == {
        id(moving.moving_mean),
        id(moving.moving_variance),
    }
