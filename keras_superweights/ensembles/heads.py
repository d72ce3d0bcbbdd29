"""What the last layer of a member does to its output."""

import keras


def last_activation(model):
    """`(layer, activation)` of a model's only output.

    The activation is `None` where the layer has none, or is the identity.
    """
    layer = model.outputs[0]._keras_history.operation
    if isinstance(layer, keras.layers.Softmax):
        return layer, keras.activations.softmax
    activation = getattr(layer, "activation", None)
    return layer, None if activation is keras.activations.linear else activation


def check_returns_logits(index, model):
    """Refuses a member that ends in probabilities.

    Raises:
        ValueError: If the last layer is a softmax or a sigmoid.
    """
    layer, activation = last_activation(model)
    if activation in (keras.activations.softmax, keras.activations.sigmoid):
        raise ValueError(
            "Members of an ensemble must return logits, since their "
            "probabilities are averaged by the network. Received: member "
            f"{index} ('{model.name}') ends in '{layer.name}', which applies "
            "an activation. Leave it out (`classifier_activation=None` in "
            "`keras.applications`)."
        )
