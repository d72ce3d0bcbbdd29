"""FLOPs by formulas, by hand, by brute force and by TensorFlow's profiler."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_superweights import models
from keras_superweights.members.cloning import without_memory
from keras_superweights.metrics import count_flops

layers = keras.layers


def profiled_flops(model):
    """Counts FLOPs of convolutions and products by TensorFlow's profiler."""
    spec = tf.TensorSpec((1, *model.input_shape[1:]))
    function = tf.function(model).get_concrete_function(spec)
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    options["account_type_regexes"] = ["Conv2D", "MatMul", "DepthwiseConv.*"]
    with function.graph.as_default():
        return tf.compat.v1.profiler.profile(
            function.graph, options=options
        ).total_float_ops


def depthwise():
    return keras.Sequential(
        [
            keras.Input((9, 9, 4)),
            layers.DepthwiseConv2D(3, strides=2, depth_multiplier=2),
            layers.SeparableConv2D(5, 3, padding="same"),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )


@pytest.mark.parametrize(
    ("build", "arguments"),
    [
        (models.wide_resnet, (16, 1, 10, (16, 16, 3))),
        (models.wide_resnet, (10, 2, 10, (16, 16, 3))),
        (depthwise, ()),
    ],
)
def test_models_cost_what_the_profiler_counts(build, arguments):
    model = build(*arguments)
    assert count_flops(model) == profiled_flops(model)


@pytest.mark.parametrize(
    ("build", "arguments", "published"),
    # Billions of multiply-adds; the second as torchvision documents it.
    [(models.wide_resnet, (28, 10), 5.2), (models.wide_resnet_50_2, (), 11.40)],
)
def test_published_cost_of_wide_resnets(build, arguments, published):
    with without_memory():
        model = build(*arguments)
    billions = count_flops(model) / 2 / 1e9
    assert round(billions, 2 if published > 10 else 1) == published


def num_products(model):
    """Counts multiplications by brute force.

    With kernels and inputs of ones, and no padding, each output is the number
    of the products that it is the sum of.
    """
    model.set_weights([np.ones_like(w) for w in model.get_weights()])
    return float(np.sum(model(np.ones((1, *model.input_shape[1:])))))


@pytest.mark.parametrize("seed", range(25))
def test_random_layers_cost_two_per_product(seed):
    generator = np.random.default_rng(seed)
    rank = int(generator.integers(1, 4))
    groups = int(generator.integers(1, 3))
    channels = groups * int(generator.integers(1, 4))
    input_shape = (*generator.integers(5, 8, rank).tolist(), channels)
    arguments = {
        "filters": groups * int(generator.integers(1, 4)),
        "kernel_size": generator.integers(1, 4, rank).tolist(),
        "strides": int(generator.integers(1, 3)),
        "use_bias": False,
    }
    conv, transposed = (
        (layers.Conv1D, layers.Conv1DTranspose),
        (layers.Conv2D, layers.Conv2DTranspose),
        (layers.Conv3D, layers.Conv3DTranspose),
    )[rank - 1]
    for layer in (
        conv(**arguments, groups=groups),
        transposed(**arguments),
        layers.Dense(3, use_bias=False),
    ):
        inputs = keras.Input(input_shape)
        model = keras.Model(inputs, layer(inputs))
        assert count_flops(model) == 2 * num_products(model)


def test_a_shared_layer_counts_at_every_call_by_its_size():
    shared = layers.Conv2D(1, 1)
    inputs = keras.Input((8, 8, 1))
    once = keras.Model(inputs, shared(inputs))
    smaller = layers.MaxPooling2D()(shared(inputs))
    twice = keras.Model(inputs, shared(smaller))
    assert count_flops(twice) == 2 * 64 + 2 * 16
    # Calls outside the model do not count.
    assert count_flops(once) == 2 * 64


def test_nested_models_count_at_every_call():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4)])
    inputs = keras.Input((4,))
    outputs = layers.Dense(2)(inner(inner(inputs)))
    assert count_flops(keras.Model(inputs, outputs)) == 2 * (16 + 16 + 8)


def test_subclassed_layers_and_operations():
    class OwnDense(layers.Dense):
        pass

    inputs = keras.Input((5, 4))
    x = keras.ops.relu(OwnDense(3)(inputs) + 1.0)
    assert count_flops(keras.Model(inputs, x)) == 2 * 5 * 4 * 3


def test_no_variable_is_read():
    def initializer(shape, dtype=None):
        raise AssertionError("a variable was initialized")

    with without_memory():
        model = keras.Sequential(
            [
                keras.Input((6, 6, 2)),
                layers.Conv2D(3, 3, kernel_initializer=initializer),
                layers.Flatten(),
                layers.Dense(5, kernel_initializer=initializer),
            ]
        )
    assert count_flops(model) == 2 * (16 * 18 * 3 + math.prod((4, 4, 3, 5)))


def test_channels_first():
    with without_memory():
        inputs = keras.Input((3, 8, 6))
        outputs = layers.Conv2D(4, 3, data_format="channels_first")(inputs)
        model = keras.Model(inputs, outputs)
    assert count_flops(model) == 2 * (6 * 4) * 27 * 4


def test_models_that_cannot_be_counted_warn_or_raise():
    inputs = keras.Input((5, 4))
    model = keras.Model(inputs, layers.LSTM(3, name="memory")(inputs))
    with pytest.warns(UserWarning, match="'memory' \\(LSTM\\)"):
        assert count_flops(model) == 0

    class Own(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(TypeError, match="Functional or Sequential"):
        count_flops(Own())
    with pytest.raises(ValueError, match="not built"):
        count_flops(keras.Sequential([layers.Dense(3)]))
    with pytest.raises(ValueError, match="full input shape"):
        count_flops(models.wide_resnet(10, 1, input_shape=(None, None, 3)))
