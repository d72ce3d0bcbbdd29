"""Checks of the activation at the end of a member."""

import keras


def last_activation(model):
    """Returns the layer of a model's only output, and its activation.

    The activation is `None` where the layer has none, or is the identity.
    """
    layer = model.outputs[0]._keras_history.operation
    if isinstance(layer, keras.layers.Softmax):
        return layer, keras.activations.softmax
    activation = getattr(layer, "activation", None)
    return layer, None if activation is keras.activations.linear else activation


def check_returns_logits(index, model):
    """Raises a `ValueError` if a member ends in a softmax or sigmoid."""
    layer, activation = last_activation(model)
    if activation in (keras.activations.softmax, keras.activations.sigmoid):
        raise ValueError(
            "Members of an ensemble must return logits, since the network "
            "averages their probabilities. Received: member "
            f"{index} ('{model.name}') ends in '{layer.name}', which applies "
            "an activation. Leave it out (`classifier_activation=None` in "
            "`keras.applications`)."
        )
