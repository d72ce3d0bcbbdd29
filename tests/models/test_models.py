"""Promises that every model of the package keeps."""

import inspect

import keras
import numpy as np
import pytest

from keras_superweights import models
from keras_superweights.members import cloning
from tests import builders

# Arguments of small models.
SMALL = {
    "densenet_bc": {"depth": 10, "growth": 2, "input_shape": (8, 8, 1)},
    "gru_sentence_encoder": {
        "vocabulary_size": 11,
        "units": 3,
        "word_size": 2,
        "embedding_size": 5,
    },
    "transformer": {
        "num_layers": 1,
        "width": 4,
        "num_heads": 2,
        "vocabulary_size": 11,
        "context": 4,
    },
    "vgg11": {"input_shape": (8, 8, 1)},
    "wide_resnet": {"depth": 10, "width": 1, "input_shape": (8, 8, 1)},
    "wide_resnet_50_2": {"input_shape": (32, 32, 3)},
}
# In the order in which they are in a model's name.
SIZES = ("num_layers", "depth", "growth", "width")
# One model is too large to be initialised in every test.
WITH_VALUES = sorted(set(SMALL) - {"wide_resnet_50_2"})
OF_IMAGES = sorted(set(SMALL) - {"gru_sentence_encoder", "transformer"})

every_model = pytest.mark.parametrize("name", sorted(SMALL))
every_image_model = pytest.mark.parametrize("name", OF_IMAGES)


def build(model, **arguments):
    return getattr(models, model)(**SMALL[model] | arguments)


def build_without_memory(model, **arguments):
    with cloning.without_memory():
        return build(model, **arguments)


def test_no_model_is_left_out():
    public = {
        name
        for name, value in vars(models).items()
        if callable(value) and not name.startswith("_")
    }
    assert public == set(SMALL) | {"fitted", "mimo", "narrowed"}


@every_model
def test_it_is_of_keras_layers_only_and_rebuilt_without_memory(name):
    model = build_without_memory(name)
    text = cloning.to_json(model)
    assert "keras_superweights" not in text and "Lambda" not in text
    with cloning.without_memory():
        again = cloning.from_json(text)
    assert cloning.to_json(again) == text
    assert [v.shape for v in again.weights] == [v.shape for v in model.weights]
    assert model.weights
    for variable in (*model.weights, *again.weights):
        assert variable._value is None


@pytest.mark.parametrize("name", WITH_VALUES)
def test_it_loads_as_it_was_saved(name, tmp_path):
    model = build(name)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    shape = [2, *(size or 4 for size in model.input_shape[1:])]
    inputs = np.random.default_rng(0).integers(1, 11, size=shape)
    outputs = model.predict(inputs, verbose=0)
    assert outputs.shape == (2, *model.output_shape[1:])
    assert np.isfinite(outputs).all()
    np.testing.assert_array_equal(outputs, loaded.predict(inputs, verbose=0))


@every_model
def test_layers_are_named_by_their_place_alone(name):
    first, second = build_without_memory(name), build_without_memory(name)
    names = [layer.name for layer in first.layers]
    assert names == [layer.name for layer in second.layers]
    assert len(set(names)) == len(names)
    sizes = (SMALL[name].get(key) for key in SIZES)
    assert first.name == "_".join([name, *(str(x) for x in sizes if x)])
    assert build_without_memory(name, name="mine").name == "mine"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        *((name, {}) for name in sorted(SMALL)),
        ("gru_sentence_encoder", {"embedding_size": None}),
    ],
)
def test_outputs_are_float32_under_mixed_precision(name, arguments):
    with builders.dtype_policy("mixed_bfloat16"):
        model = build_without_memory(name, **arguments)
    assert model.output.dtype == "float32"
    computed_in = {layer.compute_dtype for layer in model.layers}
    assert "bfloat16" in computed_in


@every_image_model
def test_it_returns_logits_of_he_normal_convolutions_without_bias(name):
    model = build_without_memory(name, num_classes=7)
    assert model.output_shape == (None, 7)
    assert model.layers[-1].activation is keras.activations.linear
    found = [x for x in model.layers if isinstance(x, keras.layers.Conv2D)]
    assert len(found) > 5
    for layer in found:
        assert isinstance(layer.kernel_initializer, keras.initializers.HeNormal)
        assert not layer.use_bias


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        (name, argument)
        for name in sorted(SMALL)
        for argument in inspect.signature(getattr(models, name)).parameters
        if argument not in ("input_shape", "name")
    ],
)
@pytest.mark.parametrize(
    ("value", "error"),
    [(0, ValueError), (-4, ValueError), (1.0, TypeError), (True, TypeError)],
)
def test_numbers_must_be_positive_integers(name, argument, value, error):
    with pytest.raises(error, match=f"`{argument}`.*Received"):
        build_without_memory(name, **{argument: value})


@pytest.mark.parametrize("name", ["densenet_bc", "wide_resnet"])
@pytest.mark.parametrize(
    ("depth", "nearest"),
    [(27, "22 or 28"), (29, "28 or 34"), (4, "10"), (1, "10"), (11, "10 or")],
)
def test_a_depth_that_is_not_6n_plus_4_names_the_nearest(name, depth, nearest):
    with pytest.raises(ValueError, match=f"depth={depth};.* {nearest}"):
        build_without_memory(name, depth=depth)


@pytest.mark.parametrize(
    ("name", "smallest"),
    [
        ("densenet_bc", 4),
        ("vgg11", 1),
        ("wide_resnet", 4),
        ("wide_resnet_50_2", 32),
    ],
)
def test_inputs_must_be_images_that_are_large_enough(name, smallest):
    size = smallest
    bad = [(size - 1, size, 1), (size, size - 1, 1), (size, size)]
    for shape in [*bad, (size, size, None), (size, size, 0)]:
        with pytest.raises(
            ValueError, match=f"`input_shape`.*at least {smallest}.*Received"
        ):
            build_without_memory(name, input_shape=shape)
    for shape in ((size, size + 1, 2), (None, None, 3)):
        model = build_without_memory(name, input_shape=shape)
        assert model.input_shape == (None, *shape)
