"""Checks that Keras can rebuild a model from its config alone.

Cloning, saving and materializing rely on it.
"""

import re

import keras

from keras_superweights.keras_internals import is_lookup
from keras_superweights.keras_internals import without_memory
from keras_superweights.layers import is_model
from keras_superweights.layers import walk
from keras_superweights.members.cloning import from_json
from keras_superweights.members.cloning import to_json


def check_rebuilding(index, model):
    """Raises an error with the layers that cannot be rebuilt, and reasons."""
    _check_states(index, model)
    try:
        with without_memory():
            rebuilt = from_json(to_json(model))
    except Exception as error:
        causes = _causes(model) or {f"'{model.name}'": error}
        reasons = " ".join(
            f"{name}: {_sentence(cause)}" for name, cause in causes.items()
        )
        raise ValueError(
            "Each of `members` must be a model that Keras can rebuild from its "
            "config, as `keras.models.load_model` does. Received: member "
            f"{index} ('{model.name}'), of which Keras cannot rebuild {reasons}"
            f" {_remedy(model)}"
        ) from error
    if len(rebuilt.weights) != len(model.weights):
        raise ValueError(
            "Each of `members` must be a model that Keras can rebuild from its "
            "config, which loses that a layer is used both inside and outside "
            "of an inner model, or in two of them. Received: member "
            f"{index} ('{model.name}') has {len(model.weights)} weights, and "
            f"{len(rebuilt.weights)} when it is rebuilt. If its tensors come "
            "from a model class that is made of such layers, pass that model."
        )
    found, expected = _weights(model), _weights(rebuilt)
    for one, other in zip(found, expected, strict=False):
        if one != other:
            (path, shapes), (other_path, others) = one, other
            raise ValueError(
                "Each of `members` must be a model with a config of its own "
                f"arguments. Received: member {index} ('{model.name}') has at "
                f"'{path}' weights {shapes}, and when Keras rebuilds it at "
                f"'{other_path}' weights {others}. {_remedy(model)}"
            )


def _weights(model):
    return [
        (path, [tuple(weight.shape) for weight in layer.weights])
        for path, layer in walk(model)
        if layer.weights
    ]


def _has_own_config(model) -> bool:
    """Returns whether Keras rebuilds a model by its class, not its layers."""
    module = type(model).get_config.__module__
    return is_model(model) and not module.startswith("keras.")


def _remedy(model) -> str:
    if _has_own_config(model):
        return (
            f"{type(model).__name__} has a `get_config` of its own, which must "
            "return what its constructor takes. Or pass `keras.Model("
            "model.input, model.output)`, which is rebuilt layer by layer."
        )
    return (
        "Register classes and functions of your own with "
        "`keras.saving.register_keras_serializable`, and give a layer with "
        "arguments `get_config`. In place of a Lambda of a Python lambda, "
        "which is code, use a layer, or a Lambda of a registered function."
    )


def _check_states(index, model):
    layers = list(walk(model))
    stateful = [p for p, each in layers if getattr(each, "stateful", False)]
    if stateful:
        raise ValueError(
            "Members must not have stateful recurrent layers: their states "
            "belong to one batch, and cannot be made without values. "
            f"Received: member {index} ('{model.name}') has {stateful}. Pass "
            "`stateful=False`."
        )
    empty = [
        path
        for path, layer in layers
        if is_lookup(layer)
        and not layer.get_vocabulary(include_special_tokens=False)
    ]
    if empty:
        raise ValueError(
            "Members must have lookup layers with a vocabulary. Received: "
            f"member {index} ('{model.name}'), in which that of {empty} is "
            "empty. Call `adapt` or `set_vocabulary` first."
        )


def _causes(model):
    """Maps each innermost unrebuildable layer, as text, to its error."""
    if _has_own_config(model):
        return {}  # Keras does not rebuild its layers one by one
    layers = list(walk(model))
    opaque = tuple(f"{path}/" for path, x in layers if _has_own_config(x))
    causes = {}
    for path, layer in reversed(layers):  # the inner ones first
        known = any(name.startswith(f"'{path}/") for name in causes)
        if known or path.startswith(opaque):
            continue
        try:
            with without_memory():
                config = keras.saving.serialize_keras_object(layer)
                keras.saving.deserialize_keras_object(config)
        except Exception as error:
            causes[f"'{path}' ({type(layer).__name__})"] = error
    return dict(reversed(causes.items()))


def _sentence(error) -> str:
    """Returns Keras' first words, without configs and examples."""
    text = str(error).rsplit("Exception encountered: ", 1)[-1]
    text = re.split(r"Full object config|\bconfig=|Example:", text)[0]
    text = " ".join(text.split())
    return text if text.endswith(".") else f"{text}."
