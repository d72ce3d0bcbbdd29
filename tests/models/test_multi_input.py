"""Networks with several inputs have the published sizes."""

import math

import keras
import numpy as np
import pytest

from keras_superweights import models
from keras_superweights.members import cloning
from tests.builders import perceptron


def size(model):
    return sum(math.prod(v.shape) for v in model.trainable_variables)


# google/uncertainty-baselines: plain, and 432 in the first convolution and
# (640 + 1) classes in the head for each further member.
@pytest.mark.parametrize(
    "num_classes, sizes",
    [
        (100, (36_536_884, 36_601_416, 36_665_948, 36_730_480)),
        (10, (36_479_194, 36_486_036, 36_492_878, 36_499_720)),
    ],
)
def test_wide_resnets_have_the_sizes_of_the_authors(num_classes, sizes):
    with cloning.without_memory():
        plain = models.wide_resnet(28, 10, num_classes)
        for count, expected in enumerate(sizes, 1):
            model = models.mimo(plain, count)
            assert size(model) == expected
            assert model.input_shape == (None, 32, 32, 3 * count)
            assert model.output_shape == (None, num_classes * count)
            assert model.name == plain.name


def test_a_sequential_model_keeps_its_layers():
    model = keras.Sequential(
        [keras.Input((5,)), keras.layers.Dense(4), keras.layers.Dense(3)]
    )
    found = models.mimo(model, 3)
    assert (found.input_shape, found.output_shape) == ((None, 15), (None, 9))
    assert size(found) == 16 * 4 + 5 * 9
    assert np.shape(found(np.ones((2, 15)))) == (2, 9)
    assert size(model) == 6 * 4 + 5 * 3


def words():
    inputs = keras.Input((5,), dtype="int32")
    x = keras.layers.Flatten()(keras.layers.Embedding(7, 4)(inputs))
    return keras.Model(inputs, keras.layers.Dense(3)(x))


def pooled():
    inputs = keras.Input((4, 4, 2))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(3, 3)(inputs))
    return keras.Model(inputs, keras.layers.Reshape((3, 1))(x))


@pytest.mark.parametrize(
    "model, count, error, told",
    [
        (3, 2, TypeError, "Functional or built Sequential.*3"),
        (perceptron(), 0, ValueError, "`num_members`.*0"),
        (words(), 2, ValueError, "floating-point.*int32"),
        (pooled(), 2, ValueError, "does not|must end in a layer"),
    ],
)
def test_what_cannot_take_several_inputs_is_refused(model, count, error, told):
    with pytest.raises(error, match=told):
        models.mimo(model, count)
