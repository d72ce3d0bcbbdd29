"""Clones of models whose layers have other shapes."""

import contextlib

import keras

from keras_superweights.members import cloning


def check_reshapable(model, done):
    """Refuses what cannot be reshaped; `done` says to what, for errors."""
    if not isinstance(model, keras.Model) or not getattr(model, "outputs", ()):
        raise TypeError(
            f"A model to be {done} must be a Functional or built Sequential "
            f"one. Received: {model!r}."
        )
    kept = cloning.kept_layers(model)
    if kept:
        raise ValueError(
            f"A model to be {done} must not have layers that are frozen or "
            "adapted to data: their values would be lost. Received: "
            f"'{model.name}' with the layers {kept}. Pass the model without "
            "them."
        )


def reshaped(model, change, done, inputs=None):
    """Returns a Functional clone with fresh weights and changed configs.

    Args:
        model: As `check_reshapable` accepts it.
        change: Function of a layer and its config, which it may change.
        done: What happens to the model, for errors.
        inputs: List of Keras inputs. Defaults to some like the model's.

    Raises:
        ValueError: If a layer, which is named, does not take inputs of the
            new shapes.
    """

    def clone(layer):
        config = layer.get_config()
        for section in sections(config):
            # Inner layers were built for the model's own shapes.
            section.pop("build_config", None)
        change(layer, config)
        with _named(model, layer, done):
            return type(layer).from_config(config)

    def call(layer, *args, **kwargs):
        with _named(model, layer, done):
            return layer(*args, **kwargs)

    source = model
    if isinstance(model, keras.Sequential):  # whose layers Keras calls itself
        source = keras.Model(model.inputs, model.outputs, name=model.name)
    if inputs is not None:
        inputs = keras.tree.pack_sequence_as(source.input, inputs)
    with cloning.complete_configs(model):
        return keras.models.clone_model(
            source,
            input_tensors=inputs,
            clone_function=clone,
            call_function=call,
            recursive=True,
        )


def sections(data):
    """Yields all dicts of a config, also of layers inside layers."""
    if isinstance(data, dict):
        yield data
        data = list(data.values())
    if isinstance(data, (list, tuple)):
        for each in data:
            yield from sections(each)


@contextlib.contextmanager
def _named(model, layer, done):
    """Names the layer that is not possible in its new shape."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"A model to be {done} must have layers that take inputs of "
            f"other widths. Received: '{model.name}', whose layer "
            f"'{layer.name}' does not: {error}"
        ) from error
