"""Dtype policies of members, and what stays in float32."""

import keras
import numpy as np
import pytest
import sklearn.datasets
import tensorflow as tf
from tensorflow.python.eager import context as eager_context

import keras_superweights as ksw
from keras_superweights.export import export_network
from keras_superweights.search import GradientRecorder
from keras_superweights.sharing import Shapeshifter
from keras_superweights.sharing import SuperWeights
from tests.builders import dtype_policy
from tests.builders import perceptron
from tests.training.networks import compiled
from tests.training.networks import shared

POLICIES = ("float32", "mixed_bfloat16", "mixed_float16", "bfloat16")


def dense_net(width=8, num_inputs=5, classes=3):
    """Its first layer needs more digits than half precision has."""
    inputs = keras.Input((num_inputs,))
    x = keras.layers.Rescaling(100.0, -100.0, dtype="float32")(inputs)
    for name in ("one", "two"):
        x = keras.layers.Dense(width, activation="relu", name=name)(x)
    return keras.Model(inputs, keras.layers.Dense(classes, name="head")(x))


def batch_of(count=16):
    draw = np.random.default_rng(0)
    x = 1.0 + draw.normal(size=(count, 5)).astype("float32") / 100
    return x, draw.integers(0, 3, count)


def network_of(*policies, sharing=None):
    """Makes a network of one member per policy, none of which is global."""
    members = []
    for name in policies:
        with dtype_policy(name):
            members.append(dense_net())
    return ksw.SuperWeightNetwork(members, 0.9, sharing or Shapeshifter())


def float32(values):
    return np.array(keras.ops.cast(values, "float32"))


@pytest.mark.parametrize("now", ["float32", "mixed_bfloat16", "bfloat16"])
@pytest.mark.parametrize("own", POLICIES)
def test_members_keep_their_policies_under_any_global_one(own, now):
    with dtype_policy(now):
        network = network_of(own)
        (plain,) = network.materialize()
    x, _ = batch_of()
    for model in (network.members[0], plain):
        for name in ("one", "two", "head"):
            assert model.get_layer(name).dtype_policy.name == own
    assert {v.dtype for v in network.generator.trainable_variables} == {
        "float32"
    }
    assert network.dtype_policy.name == own
    np.testing.assert_array_equal(float32(network(x)), float32(plain(x)))
    with dtype_policy(now):
        network.compile("sgd", "mse")
    scaled = keras.optimizers.LossScaleOptimizer
    assert isinstance(network.optimizer, scaled) == (own == "mixed_float16")


def test_members_may_have_different_policies():
    network = network_of("float32", "mixed_float16", "bfloat16")
    x, y = batch_of()
    compiled(network, keras.optimizers.SGD(0.01))
    assert isinstance(network.optimizer, keras.optimizers.LossScaleOptimizer)
    logits = network.member_outputs(x)
    assert [each.dtype for each in logits] == ["float32", "float16", "bfloat16"]
    assert network(x).dtype == "float32"
    losses = network.fit(x, y, epochs=2, verbose=0).history["loss"]
    assert np.isfinite(losses).all()


def test_kernels_are_generated_in_float32_and_read_in_the_compute_dtype():
    network = network_of("mixed_bfloat16")
    vectors = network.generator.superweights()
    assert {vector.dtype for vector in vectors} == {tf.float32}
    layer = network.members[0].get_layer("two")
    exact = layer.sources["kernel"]()
    assert exact.dtype == "float32" and layer.kernel.dtype == "bfloat16"
    assert np.abs(exact - float32(layer.kernel)).max() > 0


def casts_in_a_step(num_uses):
    """Counts casts to bfloat16 in a step that TensorFlow has optimized."""
    with dtype_policy("mixed_bfloat16"):
        inputs = keras.Input((4,))
        layer, x = keras.layers.Dense(4, use_bias=False), inputs
        for _ in range(num_uses):
            x = layer(x)
        head = keras.layers.Dense(3, dtype="float32")
        network = ksw.share(keras.Model(inputs, head(x)), 1.0)
    compiled(network, jit_compile=False)
    context = eager_context.context()
    context.enable_graph_collection()
    try:
        network.train_on_batch(np.ones((2, 4), "float32"), np.zeros(2, int))
        graphs = context.export_run_metadata().function_graphs
    finally:
        context.disable_graph_collection()
    return sum(
        node.op == "Cast"
        and node.attr["DstT"].type == tf.bfloat16.as_datatype_enum
        for graph in graphs
        for node in graph.post_optimization_graph.node
    )


def test_a_kernel_is_cast_once_a_step_however_often_it_is_read():
    assert casts_in_a_step(num_uses=3) == casts_in_a_step(num_uses=1) > 0


@pytest.mark.parametrize("num_members", [1, 2])
def test_metrics_are_computed_in_float32(num_members):
    """Keras' metrics round labels to the dtype of predictions."""
    network = network_of(*["bfloat16"] * num_members)
    x, _ = batch_of()
    y = np.eye(3, dtype="float32")[np.arange(16) % 3] * 1.001
    log_softmax = tf.nn.log_softmax if num_members > 1 else float32

    def squares(y_true, y_pred):
        return keras.ops.mean((y_true - y_pred) ** 2, axis=-1)

    network.compile(
        "sgd",
        squares,
        metrics=[keras.metrics.MeanSquaredError(name="mse")],
        run_eagerly=True,
    )
    found = network.evaluate(x, y, verbose=0, return_dict=True)
    names = ["mse"] if num_members == 1 else ["member_0_mse", "member_1_mse"]
    for name, each in zip(names, network.member_outputs(x), strict=True):
        output = float32(each)
        # Metrics of a classifier see log-probabilities.
        expected = np.mean((log_softmax(output) - y) ** 2)
        assert found[name] == pytest.approx(expected, rel=1e-5)
        expected = np.mean((output - y) ** 2)
        name = name.replace("mse", "loss")
        assert found[name] == pytest.approx(expected, rel=1e-5)


def test_similarities_are_recorded_in_float32():
    network = compiled(network_of("mixed_bfloat16", "bfloat16", "float64"))
    recorder = GradientRecorder(network.generator)
    network.record_gradients(recorder)
    network.train_on_batch(*batch_of())
    accumulators = [each for each in recorder._whole if each is not None]
    assert accumulators
    assert {each.dtype for each in accumulators} == {"float32"}
    for grams in recorder.grams():
        assert all(np.trace(gram) > 0 for gram in grams.values())


@pytest.mark.parametrize("own", ["mixed_bfloat16", "bfloat16"])
def test_what_is_saved_and_exported_has_the_dtypes_of_the_members(
    own, tmp_path
):
    network = network_of(own, own, sharing=SuperWeights())
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    export_network(network, tmp_path, ["keras", "saved_model"])
    exported = keras.saving.load_model(tmp_path / "member_1.keras")
    saved_model = tf.saved_model.load(tmp_path / "member_1.saved_model")
    x, _ = batch_of()
    expected = network.member_outputs(x)
    assert loaded.dtype_policy.name == own
    for one, other in zip(expected, loaded.member_outputs(x), strict=True):
        np.testing.assert_array_equal(float32(one), float32(other))
    for model in (loaded.members[1], exported):
        assert model.get_layer("two").dtype_policy.name == own
    for outputs in (exported(x), saved_model.serve(tf.constant(x))):
        assert outputs.dtype == "bfloat16"
        np.testing.assert_allclose(
            float32(outputs), float32(expected[1]), rtol=0.02, atol=0.02
        )


def test_in_bfloat16_digits_are_learned_as_well_as_in_float32():
    """Within a point, from the same start, data and order."""
    images, labels = sklearn.datasets.load_digits(return_X_y=True)
    images = (images / 16).astype("float32")
    accuracies = {}
    for name in ("float32", "mixed_bfloat16"):
        keras.utils.set_random_seed(0)
        with dtype_policy(name):
            members = [perceptron(width, 2, 64, 10) for width in (48, 32)]
        network = shared(members, 0.7)
        optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
        compiled(network, optimizer, jit_compile="auto")
        network.fit(images[500:], labels[500:], 64, epochs=12, verbose=0)
        accuracies[name] = network.evaluate(
            images[:500], labels[:500], 500, verbose=0, return_dict=True
        )["accuracy"]
    assert accuracies["float32"] > 0.9
    assert accuracies["mixed_bfloat16"] == pytest.approx(
        accuracies["float32"], abs=0.01
    )
