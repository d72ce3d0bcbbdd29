import keras
import numpy as np
import pytest

from keras_superweights.layers import GENERATED
from keras_superweights.layers import GeneratedConv2D
from keras_superweights.layers import GeneratedDense

CASES = {
    "Dense": (keras.layers.Dense, {"units": 5}, (2, 4)),
    "Dense without bias": (
        keras.layers.Dense,
        {"units": 5, "use_bias": False, "activation": "relu"},
        (2, 3, 4),
    ),
    "Conv1D": (
        keras.layers.Conv1D,
        {"filters": 5, "kernel_size": 3, "padding": "causal"},
        (2, 7, 4),
    ),
    "Conv2D": (
        keras.layers.Conv2D,
        {"filters": 6, "kernel_size": (3, 2), "strides": 2, "padding": "same"},
        (2, 7, 6, 4),
    ),
    "Conv2D grouped": (
        keras.layers.Conv2D,
        {"filters": 6, "kernel_size": 3, "groups": 2, "activation": "tanh"},
        (2, 7, 6, 4),
    ),
    "Conv2D dilated": (
        keras.layers.Conv2D,
        {"filters": 3, "kernel_size": 3, "dilation_rate": 2},
        (2, 9, 9, 2),
    ),
    "Conv3D": (
        keras.layers.Conv3D,
        {"filters": 3, "kernel_size": 2},
        (2, 4, 4, 4, 2),
    ),
}


def pair(name, **kwargs):
    """The Keras layer, and one that reads that layer's kernel."""
    kind, arguments, shape = CASES[name]
    plain = kind(**arguments, bias_initializer="ones", **kwargs)
    plain.build(shape)
    kernel = keras.ops.convert_to_tensor(np.array(plain.kernel.value))
    layer = GENERATED[kind](
        **arguments,
        bias_initializer="ones",
        source=lambda: kernel,
        **kwargs,
    )
    return plain, layer, np.random.default_rng(0).normal(size=shape)


@pytest.mark.parametrize("name", CASES)
def test_it_computes_what_the_keras_layer_computes(name):
    plain, layer, x = pair(name)
    np.testing.assert_allclose(layer(x), plain(x), atol=1e-5)
    assert layer.compute_output_shape(x.shape) == plain(x).shape


@pytest.mark.parametrize("name", CASES)
def test_it_owns_its_bias_and_no_kernel(name):
    plain, layer, x = pair(name)
    layer(x)
    assert len(layer.weights) == len(plain.weights) - 1
    assert all(v is layer.bias for v in layer.weights)
    assert layer.count_params() == plain.count_params() - int(
        np.prod(plain.kernel.shape)
    )


@pytest.mark.parametrize("name", ["Dense", "Conv2D"])
def test_it_saves_and_loads_its_bias_only(name):
    _, layer, x = pair(name)
    layer(x)
    store = {}
    layer.bias.assign(np.arange(layer.bias.shape[0]))
    layer.save_own_variables(store)
    assert [value.shape for value in store.values()] == [layer.bias.shape]
    _, other, _ = pair(name)
    other(x)
    other.load_own_variables(store)
    np.testing.assert_array_equal(other.bias, layer.bias)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_its_kernel_has_the_compute_dtype(policy):
    _, layer, x = pair("Conv2D", dtype=policy)
    y = layer(x.astype("float32"))
    expected = policy.removeprefix("mixed_")
    assert keras.backend.standardize_dtype(layer.kernel.dtype) == expected
    assert keras.backend.standardize_dtype(y.dtype) == expected
    assert layer.bias.dtype == "float32"


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_its_regularizer_sees_the_whole_kernel_in_float32_and_once(policy):
    plain, layer, x = pair(
        "Dense", kernel_regularizer="l2", bias_regularizer="l1", dtype=policy
    )
    plain(x)
    layer(x)
    found = sorted(float(loss) for loss in layer.losses)
    expected = sorted(float(loss) for loss in plain.losses)
    assert found == pytest.approx(expected, rel=1e-6)
    layer(x)  # a new pass, and not one more loss
    assert len(layer.losses) == 2


def test_the_kernel_before_building_is_an_attribute_error():
    layer = GeneratedDense(3, source=lambda: np.zeros((2, 3)))
    with pytest.raises(AttributeError, match="must be built before"):
        _ = layer.kernel
    assert not hasattr(layer, "kernel")


def test_it_cannot_be_saved_or_copied_alone():
    layer = GeneratedConv2D(3, 3, source=lambda: None, name="conv")
    with pytest.raises(ValueError, match=r"'conv'.*`materialize\(\)`"):
        layer.get_config()


def test_every_generated_layer_is_its_keras_layer():
    for kind, generated in GENERATED.items():
        assert issubclass(generated, kind)
