"""Identity of a loss given to `compile`, and whether it takes logits."""

import functools
import inspect

import keras


def loss_identity(loss):
    """Returns the function or class behind a loss of `compile`.

    That is the function that a Keras loss wraps, the class of any other
    `keras.losses.Loss`, or the function itself.
    """
    loss = keras.losses.get(loss)
    if isinstance(loss, keras.losses.Loss):
        loss = getattr(loss, "fn", type(loss))
    while isinstance(loss, functools.partial):
        loss = loss.func
    return loss


def is_known(identity):
    """Returns whether a loss or class comes from Keras or this library."""
    module = getattr(identity, "__module__", None) or ""
    return module.startswith(("keras.", "keras_superweights."))


def takes_logits(loss):
    """Returns whether a loss or metric takes logits, or does not say."""
    if hasattr(loss, "get_config"):
        return loss.get_config().get("from_logits", True) is not False
    parameter = inspect.signature(loss).parameters.get("from_logits")
    return parameter is None or parameter.default is not False


def check_takes_logits(loss, remedy):
    """Refuses a loss of probabilities, which on logits is finite but wrong.

    The `remedy` says what to write instead. The loss may be `None`.
    """
    if loss is not None and not takes_logits(keras.losses.get(loss)):
        raise ValueError(
            "`loss` must take logits, which is what members of an ensemble "
            f"return. Received: loss={loss!r}, which has from_logits=False. "
            f"Write {remedy}."
        )
