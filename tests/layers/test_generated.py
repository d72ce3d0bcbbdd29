import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_superweights.allocation.specs import KINDS
from keras_superweights.layers import GENERATED
from keras_superweights.layers import generate

layers = keras.layers

# Name: (layer, how it is called, shape of its input).
CASES = {
    "Dense": (layers.Dense, {"units": 5}, (2, 4)),
    "Dense without bias": (
        layers.Dense,
        {"units": 5, "use_bias": False, "activation": "relu"},
        (2, 3, 4),
    ),
    "EinsumDense": (
        layers.EinsumDense,
        {"equation": "abc,cde->abde", "output_shape": (None, 2, 3)},
        (2, 5, 4),
    ),
    "EinsumDense with bias": (
        layers.EinsumDense,
        {"equation": "...x,xy->...y", "output_shape": 7, "bias_axes": "y"},
        (2, 5, 4),
    ),
    "Conv1D": (
        layers.Conv1D,
        {"filters": 5, "kernel_size": 3, "padding": "causal"},
        (2, 7, 4),
    ),
    "Conv2D": (
        layers.Conv2D,
        {"filters": 6, "kernel_size": (3, 2), "strides": 2, "padding": "same"},
        (2, 7, 6, 4),
    ),
    "Conv2D grouped": (
        layers.Conv2D,
        {"filters": 6, "kernel_size": 3, "groups": 2, "activation": "tanh"},
        (2, 7, 6, 4),
    ),
    "Conv2D dilated": (
        layers.Conv2D,
        {"filters": 3, "kernel_size": 3, "dilation_rate": 2},
        (2, 9, 9, 2),
    ),
    "Conv3D": (
        layers.Conv3D,
        {"filters": 3, "kernel_size": 2},
        (2, 4, 4, 4, 2),
    ),
    "Conv2DTranspose": (
        layers.Conv2DTranspose,
        {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"},
        (2, 4, 5, 2),
    ),
    "DepthwiseConv1D": (
        layers.DepthwiseConv1D,
        {"kernel_size": 3, "depth_multiplier": 2},
        (2, 7, 3),
    ),
    "DepthwiseConv2D": (
        layers.DepthwiseConv2D,
        {"kernel_size": 3, "padding": "same", "activation": "relu"},
        (2, 5, 6, 3),
    ),
    "SeparableConv1D": (
        layers.SeparableConv1D,
        {"filters": 5, "kernel_size": 3},
        (2, 7, 3),
    ),
    "SeparableConv2D": (
        layers.SeparableConv2D,
        {"filters": 5, "kernel_size": 3, "depth_multiplier": 2},
        (2, 5, 6, 3),
    ),
    "Embedding": (
        layers.Embedding,
        {"input_dim": 9, "output_dim": 4, "mask_zero": True},
        (2, 5),
    ),
    "ReversibleEmbedding": (
        layers.ReversibleEmbedding,
        {"input_dim": 9, "output_dim": 4, "tie_weights": False},
        (2, 5),
    ),
    "LSTM": (layers.LSTM, {"units": 3}, (2, 5, 4)),
    "LSTM backwards, sequences": (
        layers.LSTM,
        {"units": 3, "return_sequences": True, "go_backwards": True},
        (2, 5, 4),
    ),
    "LSTM unrolled, states": (
        layers.LSTM,
        {"units": 3, "return_state": True, "unroll": True, "use_bias": False},
        (2, 5, 4),
    ),
    "LSTM with recurrent dropout": (
        layers.LSTM,
        {"units": 3, "dropout": 0.5, "recurrent_dropout": 0.5},
        (2, 5, 4),
    ),
    "GRU": (layers.GRU, {"units": 3, "return_sequences": True}, (2, 5, 4)),
    "GRU, reset before": (
        layers.GRU,
        {"units": 3, "reset_after": False, "go_backwards": True},
        (2, 5, 4),
    ),
}


def holder(layer):
    """What holds the kernels of a layer: itself, or its cell."""
    return getattr(layer, "cell", layer)


def kernels_of(name):
    kind, arguments, _ = CASES[name]
    return GENERATED[type(holder(kind(**arguments)))].kinds


def pair(name, skip=(), **kwargs):
    """The Keras layer, and one that reads that layer's kernels."""
    kind, arguments, shape = CASES[name]
    arguments = {**arguments, **kwargs}
    draw = np.random.default_rng(0)
    x = draw.normal(size=shape).astype("float32")
    if issubclass(kind, layers.Embedding):
        x = draw.integers(0, 9, shape)
    plain = kind(**arguments)
    plain.build(shape)
    layer = kind(**arguments)
    layer.build(shape)
    sources = {}
    for weight in GENERATED[type(holder(layer))].kinds:
        if weight not in skip:
            value = np.array(getattr(holder(plain), weight))
            value = keras.ops.convert_to_tensor(value)
            sources[weight] = lambda value=value: value
    generate(holder(layer), sources)
    own = [v for v in holder(plain).weights if v.name not in sources]
    for variable, other in zip(own, holder(layer).weights, strict=True):
        variable.assign(draw.normal(size=variable.shape))
        other.assign(variable)
    return plain, layer, x


def assert_equal_outputs(one, other, atol=1e-5):
    one, other = keras.tree.flatten(one), keras.tree.flatten(other)
    for a, b in zip(one, other, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(
            keras.ops.cast(a, "float32"),
            keras.ops.cast(b, "float32"),
            atol=atol,
        )


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("name", CASES)
def test_it_computes_what_the_keras_layer_computes(name, policy):
    plain, layer, x = pair(name, dtype=policy)
    assert type(holder(layer)) is GENERATED[type(holder(plain))]
    assert_equal_outputs(layer(x), plain(x))
    assert layer.compute_output_shape(x.shape) == plain.compute_output_shape(
        x.shape
    )


@pytest.mark.parametrize("name", ["LSTM", "GRU", "LSTM backwards, sequences"])
def test_masks_are_followed(name):
    plain, layer, x = pair(name)
    mask = np.array([[1, 1, 1, 0, 0], [1, 0, 1, 1, 1]], bool)
    masked = layer(x, mask=mask)
    assert_equal_outputs(masked, plain(x, mask=mask))
    assert not np.allclose(masked, layer(x))


@pytest.mark.parametrize("name", ["LSTM", "GRU", "Conv1D", "Embedding"])
def test_it_computes_the_same_in_graphs(name):
    plain, layer, x = pair(name)
    for compiled in (False, True):
        call = tf.function(lambda x: layer(x), jit_compile=compiled)
        np.testing.assert_allclose(call(x), plain(x), atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_it_owns_what_is_not_generated(name):
    plain, layer, x = pair(name)
    kinds = GENERATED[type(holder(plain))].kinds
    expected = [v.name for v in plain.weights if v.name not in kinds]
    assert [v.name for v in layer.weights] == expected
    generated = sum(
        int(np.prod(getattr(holder(plain), weight).shape)) for weight in kinds
    )
    assert layer.count_params() == plain.count_params() - generated


@pytest.mark.parametrize("name", CASES)
def test_a_layer_that_is_built_gives_its_kernels_up(name):
    kind, arguments, shape = CASES[name]
    layer = kind(**arguments)
    layer.build(shape)
    weights = GENERATED[type(holder(layer))].kinds
    dropped = [weakref.ref(getattr(holder(layer), w)) for w in weights]
    others = len(layer.weights) - len(weights)
    generate(holder(layer), dict.fromkeys(weights, lambda: None))
    gc.collect()
    assert [variable() for variable in dropped] == [None] * len(weights)
    assert len(layer.weights) == others
    plain, layer, x = pair(name)
    assert_equal_outputs(layer(x), plain(x))


@pytest.mark.parametrize(
    ("name", "private"),
    [
        (name, weight)
        for name in ("LSTM", "GRU", "SeparableConv1D", "SeparableConv2D")
        for weight in kernels_of(name)
    ],
)
def test_one_of_two_kernels_may_stay_its_own(name, private):
    plain, layer, x = pair(name, skip=[private])
    own = getattr(holder(layer), private)
    assert isinstance(own, keras.Variable)
    assert any(v is own for v in layer.trainable_variables)
    assert len(layer.weights) == 2  # it and the bias
    assert_equal_outputs(layer(x), plain(x))


@pytest.mark.parametrize("name", ["Dense", "Conv2D", "LSTM", "Embedding"])
def test_it_saves_and_loads_only_what_it_owns(name):
    _, layer, _ = pair(name)
    layer = holder(layer)
    store = {}
    layer.save_own_variables(store)
    assert [v.shape for v in store.values()] == [v.shape for v in layer.weights]
    _, other, _ = pair(name)
    for variable in holder(other).weights:
        variable.assign(variable + 1)
    holder(other).load_own_variables(store)
    for one, two in zip(layer.weights, holder(other).weights, strict=True):
        np.testing.assert_array_equal(one, two)


def test_its_values_go_into_a_plain_layer():
    plain, layer, x = pair("LSTM", skip=["kernel"])
    target = layers.LSTM(3)
    target.build(x.shape)
    holder(layer).copy_to(target.cell)
    np.testing.assert_allclose(target(x), plain(x), atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_its_kernel_has_the_compute_dtype(policy):
    _, layer, x = pair("Conv2D", dtype=policy)
    y = layer(x)
    expected = policy.removeprefix("mixed_")
    assert keras.backend.standardize_dtype(layer.kernel.dtype) == expected
    assert keras.backend.standardize_dtype(y.dtype) == expected
    assert layer.bias.dtype == "float32"


REGULARIZED = {
    "Dense": {"kernel_regularizer": "l2", "bias_regularizer": "l1"},
    "DepthwiseConv2D": {"depthwise_regularizer": "l2"},
    "SeparableConv1D": {
        "depthwise_regularizer": "l2",
        "pointwise_regularizer": "l1",
    },
    "Embedding": {"embeddings_regularizer": "l2"},
    "LSTM": {"kernel_regularizer": "l2", "recurrent_regularizer": "l1"},
    "GRU": {"recurrent_regularizer": "l2", "bias_regularizer": "l1"},
}


@pytest.mark.parametrize("name", REGULARIZED)
def test_its_regularizers_see_kernels_in_float32_and_once(name):
    plain, layer, x = pair(name, dtype="mixed_float16", **REGULARIZED[name])
    expected = sorted(float(loss) for loss in plain.losses)
    assert len(expected) == len(REGULARIZED[name])
    for _ in range(2):  # in the second pass not one loss more
        layer(x)
        found = sorted(float(loss) for loss in layer.losses)
        assert found == pytest.approx(expected, rel=1e-6)
    layer.trainable = False
    assert not layer.losses


@pytest.mark.parametrize("name", ["Dense", "LSTM", "Embedding"])
def test_a_frozen_layer_computes_the_same_and_passes_no_gradient(name):
    _, layer, x = pair(name)
    weight = next(iter(GENERATED[type(holder(layer)).__bases__[-1]].kinds))
    value = tf.Variable(holder(layer).sources[weight]())
    holder(layer).generate_from(
        {**holder(layer).sources, weight: lambda: value + 0.0}, {}
    )
    outputs = []
    for trainable in (True, False):
        layer.trainable = trainable
        with tf.GradientTape() as tape:
            outputs.append(layer(x))
            loss = tf.reduce_sum(outputs[-1])
        assert (tape.gradient(loss, value) is not None) == trainable
    np.testing.assert_array_equal(*outputs)


def test_a_generated_kernel_cannot_be_assigned():
    _, layer, _ = pair("Dense")
    with pytest.raises(AttributeError, match="kernel of layer 'dense.*is gen"):
        layer.kernel = np.zeros((4, 5))


def test_it_cannot_be_saved_or_copied_alone():
    layer = layers.Conv2D(3, 3, name="conv")
    layer.build((None, 4, 4, 2))
    generate(layer, {"kernel": lambda: None})
    with pytest.raises(ValueError, match=r"'conv'.*`materialize\(\)`"):
        layer.get_config()


def test_every_generated_layer_is_its_keras_layer_with_weights_of_a_kind():
    covered = {type(holder(kind(**a))) for kind, a, _ in CASES.values()}
    keras_own = {c for c in GENERATED if c.__module__.startswith("keras.")}
    assert covered == keras_own
    for kind, generated in GENERATED.items():
        assert issubclass(generated, kind)
        assert set(generated.kinds.values()) <= set(KINDS)
