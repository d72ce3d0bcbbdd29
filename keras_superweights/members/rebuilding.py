"""Whether Keras can rebuild a model from its config alone.

Saving and materializing do so.
"""

import re

import keras

from keras_superweights.layers import walk
from keras_superweights.members.cloning import from_json
from keras_superweights.members.cloning import to_json
from keras_superweights.members.cloning import without_memory

_ERRORS = (TypeError, ValueError, NotImplementedError)


def check_rebuilding(index, model):
    """Raises an error if it cannot, which names the layers and why.

    Args:
        index: Index of the member, for the message.
        model: The member.
    """
    stateful = [
        path for path, layer in walk(model) if getattr(layer, "stateful", False)
    ]
    if stateful:
        raise ValueError(
            "Members must not have stateful recurrent layers: their states "
            "belong to one batch, and cannot be made without values. "
            f"Received: member {index} ('{model.name}') has {stateful}. Pass "
            "`stateful=False`."
        )
    try:
        with without_memory():
            rebuilt = from_json(to_json(model))
    except _ERRORS as error:
        causes = _causes(model) or {f"'{model.name}'": error}
        reasons = " ".join(
            f"{name}: {_sentence(cause)}" for name, cause in causes.items()
        )
        raise ValueError(
            "Each of `members` must be a model that Keras can rebuild from its "
            "config, as `keras.models.load_model` does. Received: member "
            f"{index} ('{model.name}'), of which Keras cannot rebuild {reasons}"
            " Register classes and functions of your own with "
            "`keras.saving.register_keras_serializable`, and give a layer with "
            "arguments `get_config`. In place of a Lambda of a Python lambda, "
            "which is code, use a layer, or a Lambda of a registered function."
        ) from error
    if len(rebuilt.weights) != len(model.weights):
        raise ValueError(
            "Each of `members` must be a model that Keras can rebuild from its "
            "config, which forgets that a layer is used both inside and "
            "outside of a model within the model, or in two of them. Received: "
            f"member {index} ('{model.name}') has {len(model.weights)} "
            f"weights, and {len(rebuilt.weights)} when it is rebuilt."
        )


def _causes(model):
    """For each layer that cannot be rebuilt, but what is in it can, the error.

    Returns:
        A dict from a layer's path and class, as text.
    """
    causes = {}
    for path, layer in reversed(list(walk(model))):  # the inner ones first
        if any(name.startswith(f"'{path}/") for name in causes):
            continue
        try:
            with without_memory():
                config = keras.saving.serialize_keras_object(layer)
                keras.saving.deserialize_keras_object(config)
        except _ERRORS as error:
            causes[f"'{path}' ({type(layer).__name__})"] = error
    return dict(reversed(causes.items()))


def _sentence(error) -> str:
    """What Keras says first of all, without configs and examples."""
    text = str(error).rsplit("Exception encountered: ", 1)[-1]
    text = re.split(r"Full object config|\bconfig=|Example:", text)[0]
    text = " ".join(text.split())
    return text if text.endswith(".") else f"{text}."
