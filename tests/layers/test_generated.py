import gc
import weakref
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_superweights.layers import GENERATED
from keras_superweights.layers import generate

layers = keras.layers


def case(kind, shape, *args, **kwargs):
    """A function that makes the layer, and the shape of its input."""
    return partial(getattr(layers, kind), *args, **kwargs), shape


SEQUENCE = (2, 5, 4)
CASES = {
    "Dense": case("Dense", (2, 4), 5),
    "Dense without bias": case("Dense", (2, 3, 4), 5, "relu", False),
    "EinsumDense": case("EinsumDense", SEQUENCE, "abc,cde->abde", (None, 2, 3)),
    "EinsumDense with bias": case(
        "EinsumDense", SEQUENCE, "...x,xy->...y", 7, bias_axes="y"
    ),
    "Conv1D": case("Conv1D", (2, 7, 4), 5, 3, padding="causal"),
    "Conv2D": case("Conv2D", (2, 7, 6, 4), 6, (3, 2), 2, "same"),
    "Conv2D grouped": case(
        "Conv2D", (2, 7, 6, 4), 6, 3, groups=2, activation="tanh"
    ),
    "Conv2D dilated": case("Conv2D", (2, 9, 9, 2), 3, 3, dilation_rate=2),
    "Conv3D": case("Conv3D", (2, 4, 4, 4, 2), 3, 2),
    "Conv2DTranspose": case("Conv2DTranspose", (2, 4, 5, 2), 3, 3, 2, "same"),
    "DepthwiseConv1D": case(
        "DepthwiseConv1D", (2, 7, 3), 3, depth_multiplier=2
    ),
    "DepthwiseConv2D": case(
        "DepthwiseConv2D", (2, 5, 6, 3), 3, padding="same", activation="relu"
    ),
    "SeparableConv1D": case("SeparableConv1D", (2, 7, 3), 5, 3),
    "SeparableConv2D": case(
        "SeparableConv2D", (2, 5, 6, 3), 5, 3, depth_multiplier=2
    ),
    "Embedding": case("Embedding", (2, 5), 9, 4, mask_zero=True),
    "ReversibleEmbedding": case(
        "ReversibleEmbedding", (2, 5), 9, 4, tie_weights=False
    ),
    "LSTM": case("LSTM", SEQUENCE, 3),
    "LSTM backwards, sequences": case(
        "LSTM", SEQUENCE, 3, return_sequences=True, go_backwards=True
    ),
    "LSTM unrolled, states": case(
        "LSTM", SEQUENCE, 3, return_state=True, unroll=True, use_bias=False
    ),
    "LSTM with recurrent dropout": case(
        "LSTM", SEQUENCE, 3, dropout=0.5, recurrent_dropout=0.5
    ),
    "GRU": case("GRU", SEQUENCE, 3, return_sequences=True),
    "GRU, reset before": case(
        "GRU", SEQUENCE, 3, reset_after=False, go_backwards=True
    ),
}


def holder(layer):
    """Returns what holds a layer's kernels: itself, or its cell."""
    return getattr(layer, "cell", layer)


def kernels_of(layer):
    return GENERATED[type(holder(layer))].kinds


def built(name, **kwargs):
    make, shape = CASES[name]
    layer = make(**kwargs)
    layer.build(shape)
    return layer


def pair(name, skip=(), **kwargs):
    """Returns a Keras layer, one that reads its kernels, and an input."""
    make, shape = CASES[name]
    draw = np.random.default_rng(0)
    x = draw.normal(size=shape).astype("float32")
    if issubclass(make.func, layers.Embedding):
        x = draw.integers(0, 9, shape)
    plain, layer = built(name, **kwargs), built(name, **kwargs)
    sources = {}
    for weight in set(kernels_of(layer)) - set(skip):
        value = np.array(getattr(holder(plain), weight))
        sources[weight] = partial(keras.ops.convert_to_tensor, value)
    generate(holder(layer), sources)
    own = [v for v in holder(plain).weights if v.name not in sources]
    for variable, other in zip(own, holder(layer).weights, strict=True):
        variable.assign(draw.normal(size=variable.shape))
        other.assign(variable)
    return plain, layer, x


def assert_equal_outputs(one, other):
    one, other = keras.tree.flatten(one), keras.tree.flatten(other)
    for a, b in zip(one, other, strict=True):
        assert a.dtype == b.dtype
        a, b = (keras.ops.cast(each, "float32") for each in (a, b))
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("name", CASES)
def test_it_computes_what_the_keras_layer_computes(name, policy):
    plain, layer, x = pair(name, dtype=policy)
    assert type(holder(layer)) is GENERATED[type(holder(plain))]
    assert_equal_outputs(layer(x), plain(x))
    shape = plain.compute_output_shape(x.shape)
    assert layer.compute_output_shape(x.shape) == shape


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
def test_a_built_layer_frees_its_kernels_and_owns_the_rest(name):
    layer = built(name)
    kinds = kernels_of(layer)
    dropped = [weakref.ref(getattr(holder(layer), w)) for w in kinds]
    expected = [v.name for v in layer.weights if v.name not in kinds]
    left = layer.count_params() - sum(v().numpy().size for v in dropped)
    generate(holder(layer), dict.fromkeys(kinds, lambda: None))
    gc.collect()
    assert [variable() for variable in dropped] == [None] * len(kinds)
    assert [v.name for v in layer.weights] == expected
    assert layer.count_params() == left


@pytest.mark.parametrize(
    ("name", "private"),
    [
        (name, weight)
        for name in ("LSTM", "GRU", "SeparableConv1D", "SeparableConv2D")
        for weight in kernels_of(CASES[name][0]())
    ],
)
def test_one_of_two_kernels_may_stay_its_own(name, private):
    plain, layer, x = pair(name, skip=[private])
    own = getattr(holder(layer), private)
    assert isinstance(own, keras.Variable)
    assert any(v is own for v in layer.trainable_variables)
    assert len(layer.weights) == 2  # it and the bias
    assert_equal_outputs(layer(x), plain(x))
    target = built(name)
    holder(layer).copy_to(holder(target))
    assert_equal_outputs(target(x), plain(x))


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


def test_it_cannot_be_assigned_to_or_saved_or_copied_alone():
    _, layer, _ = pair("Dense")
    with pytest.raises(AttributeError, match="kernel of layer 'dense.*is gen"):
        layer.kernel = np.zeros((4, 5))
    with pytest.raises(ValueError, match=r"'dense.*`materialize\(\)`"):
        layer.get_config()


def test_every_layer_of_keras_has_a_case():
    covered = {type(holder(make())) for make, _ in CASES.values()}
    keras_own = {c for c in GENERATED if c.__module__.startswith("keras.")}
    assert covered == keras_own
