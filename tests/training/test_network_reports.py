"""What a trained network predicts, reports and shows."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_superweights as ksw
from tests.training.networks import CLASSES
from tests.training.networks import RULES
from tests.training.networks import batch_of
from tests.training.networks import compiled
from tests.training.networks import crossentropy
from tests.training.networks import shared
from tests.training.networks import small_net
from tests.training.networks import softmax


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
