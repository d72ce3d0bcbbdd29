"""Notices that a network has stopped being finite, and says where."""

import math

import keras
from keras import ops


class NotFiniteError(ValueError):
    """Raised at the end of an epoch whose loss or weights are not finite."""


def check_epoch(network, epoch, logs=None):
    """Refuses an epoch that ends with losses or weights that are not finite.

    The loss alone does not tell: ReLU turns NaN into zero, so that a network
    whose first layers have become NaN answers the same to every input. Keras'
    `TerminateOnNaN` looks at the loss of every step; this reads all weights
    once, at the end of an epoch:

    ```python
    check = functools.partial(check_epoch, network)
    callbacks = [keras.callbacks.LambdaCallback(on_epoch_end=check)]
    ```

    Args:
        network: A `SuperWeightNetwork`.
        epoch: Number of the epoch, from 0.
        logs: Its logs, if any, in which names of losses end with `loss`.

    Raises:
        NotFiniteError: A `ValueError` that names the epoch, the losses, and
            the first such weight.
    """
    losses = [
        f"{name}={value}"
        for name, value in (logs or {}).items()
        if name.endswith("loss") and not math.isfinite(value)
    ]
    weight = first_not_finite(network)
    found = losses + [f"NaN or infinity in {weight}"] * bool(weight)
    if found:
        raise NotFiniteError(
            "Losses and weights must be finite at the end of every epoch. "
            f"Received: {', '.join(found)} after epoch {epoch + 1}. Look for "
            "NaN and infinity in the data, or lower the learning rate."
        )


def first_not_finite(network) -> str | None:
    """Names a network's first weight with NaN or infinity in it, if any.

    Returns:
        Its path, and the member or the layers that read it; or `None`.

    Example:

    >>> first_not_finite(network)
    "bank_0/templates ('conv' of member 0, 'conv' of member 1)"
    """
    for weight in network.weights:
        is_float = keras.backend.is_float_dtype(weight.dtype)
        if is_float and not ops.all(ops.isfinite(weight)):
            owners = [
                f"({name})"
                for layer, name in _owners(network)
                if any(each is weight for each in layer.weights)
            ]
            return " ".join([weight.path, *owners])
    return None


def _owners(network):
    """Yields members and banks, each with what to call its owner."""
    for index, member in enumerate(network.members):
        yield member, f"member {index}"
    allocation = network.allocation
    for bank, readers in zip(
        network.generator.banks, allocation.readers, strict=True
    ):
        served = sorted({k for reader in readers for k in reader.kernels})
        names = [
            f"'{kernel.layer}' of member {kernel.member}"
            for kernel in map(allocation.kernels.__getitem__, served)
        ]
        more = [f"and {len(names) - 3} more"] if len(names) > 3 else []
        yield bank, ", ".join(names[:3] + more)
