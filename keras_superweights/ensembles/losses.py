"""Which loss was given to `compile`, and what it says that it takes."""

import functools
import inspect

import keras


def loss_identity(loss):
    """What a loss computes, however it was given.

    Args:
        loss: As for `keras.Model.compile`: a name, a function, a class or an
            object.

    Returns:
        The function that a loss of Keras wraps, the class of any other
        `keras.losses.Loss`, or the function itself.
    """
    loss = keras.losses.get(loss)
    if isinstance(loss, keras.losses.Loss):
        loss = getattr(loss, "fn", type(loss))
    while isinstance(loss, functools.partial):
        loss = loss.func
    return loss


def is_known(identity):
    """Whether a loss or a class is one of Keras or of this library."""
    module = getattr(identity, "__module__", None) or ""
    return module.startswith(("keras.", "keras_superweights."))


def takes_logits(loss):
    """Whether a loss or a metric says so, or does not say what it takes.

    Args:
        loss: A `keras.losses.Loss`, a `keras.metrics.Metric` or a function.
    """
    if hasattr(loss, "get_config"):
        return loss.get_config().get("from_logits", True) is not False
    parameter = inspect.signature(loss).parameters.get("from_logits")
    return parameter is None or parameter.default is not False


def check_takes_logits(loss, remedy):
    """Refuses a loss of probabilities: on logits it is finite, and wrong.

    Args:
        loss: As for `keras.Model.compile`; `None` passes.
        remedy: What to write instead.

    Raises:
        ValueError: If the loss has `from_logits=False`.
    """
    if loss is not None and not takes_logits(keras.losses.get(loss)):
        raise ValueError(
            "`loss` must take logits, which is what members of an ensemble "
            f"return. Received: loss={loss!r}, which has from_logits=False. "
            f"Write {remedy}."
        )
