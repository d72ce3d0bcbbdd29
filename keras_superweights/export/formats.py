"""Writes plain models in several formats, reads them back and predicts."""

import re
import tempfile
import textwrap
import typing
import warnings

import keras
import tensorflow as tf

from keras_superweights.arguments import as_tuple
from keras_superweights.keras_internals import flat_layers


def _write_keras(model, path):
    model.save(path)


def _predict_keras(path, model, inputs):
    return keras.saving.load_model(path)(inputs, training=False)


def _write_saved_model(model, path):
    # `Model.export` tracks the Keras variables of a model in addition to the
    # TensorFlow variables of its endpoint, and stores both (Keras issue 23553).
    # An endpoint alone tracks the latter but no lookup tables, which belong to
    # layers without variables.
    archive = keras.export.ExportArchive()
    for layer in flat_layers(model)[1:]:
        if not layer.variables:
            archive.track(layer)
    archive.add_endpoint(
        "serve",
        lambda inputs: model(inputs, training=False),
        [input_structure(model)],
    )
    archive.write_out(path, verbose=False)


def _predict_saved_model(path, model, inputs):
    loaded = tf.saved_model.load(path)  # keeps the variables alive
    return loaded.serve(inputs)


class NotConvertedError(ValueError):
    """Raised if LiteRT lacks operations of a model."""


def _write_litert(model, path):
    with tempfile.TemporaryDirectory(dir=path.parent) as saved:
        _write_saved_model(model, saved)
        converter = tf.lite.TFLiteConverter.from_saved_model(saved)
        try:
            content = converter.convert()
        except Exception as error:
            # The message is pages of compiler output that name operations.
            operations = sorted(set(re.findall(r"'tf\.(\w+)' op", str(error))))
            missing = ", ".join(operations) or textwrap.shorten(str(error), 200)
            raise NotConvertedError(
                "LiteRT must have all operations of a model. Received: "
                f"'{model.name}', in which these do not convert: {missing}. "
                "Half precision and recurrent layers that are not unrolled "
                "are not supported. Leave 'litert' out of `formats`."
            ) from None
    path.write_bytes(content)


def _predict_litert(path, model, inputs):
    with warnings.catch_warnings():
        # A warning that the interpreter will move to another package.
        warnings.simplefilter("ignore", UserWarning)
        interpreter = tf.lite.Interpreter(str(path))
    run = interpreter.get_signature_runner("serving_default")
    # Names are those of Keras, except for characters that are not allowed.
    names = [tensor.name for tensor in model.inputs]
    values = dict(zip(names, keras.tree.flatten(inputs), strict=True))
    arguments = zip(sorted(run.get_input_details()), sorted(names), strict=True)
    return run(**{name: values[key].numpy() for name, key in arguments})


class _Format(typing.NamedTuple):
    """Writes a model to a path, and predicts with the model read back."""

    suffix: str
    write: typing.Callable
    predict: typing.Callable


FORMATS = {
    "keras": _Format(".keras", _write_keras, _predict_keras),
    "saved_model": _Format(
        ".saved_model", _write_saved_model, _predict_saved_model
    ),
    "litert": _Format(".tflite", _write_litert, _predict_litert),
}


def input_structure(model):
    """Returns the symbolic inputs, in the structure that the model takes."""
    sequential = isinstance(model, keras.Sequential)
    return model.inputs[0] if sequential else model.input


def checked_formats(formats) -> list[str]:
    """Returns the requested formats, each once; all available for `None`."""
    has_converter = hasattr(tf.lite, "TFLiteConverter")
    if formats is None:
        return [key for key in FORMATS if key != "litert" or has_converter]
    expected = f"one of {', '.join(map(repr, FORMATS))}, or a list of them"
    formats = as_tuple("formats", formats, str, expected)
    if not formats or not set(formats) <= set(FORMATS):
        raise ValueError(
            f"`formats` must be {expected}. Received: formats={formats!r}."
        )
    if "litert" in formats and not has_converter:
        raise ValueError(
            "The format 'litert' needs `tf.lite.TFLiteConverter`, which the "
            f"installed TensorFlow {tf.__version__} does not have. Received: "
            f"formats={formats!r}."
        )
    return list(dict.fromkeys(formats))
