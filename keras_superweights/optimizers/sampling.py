"""Weights drawn by IVON, in training steps and for predictions."""

import contextlib

import keras
import tensorflow as tf

from keras_superweights.optimizers.ivon import IVON


def check_weight_decay(optimizer, weight_decay):
    """Refuses a network's weight decay beside that of IVON."""
    if weight_decay and _ivon(optimizer):
        raise ValueError(
            "`weight_decay` of a network trained by `IVON` must be 0: the "
            "optimizer's own is the prior of the weights. Received: "
            f"weight_decay={weight_decay}. Pass it to `IVON`."
        )


def gradients_at_samples(optimizer, variables, differentiate):
    """Returns gradients where the optimizer needs them.

    Variables themselves keep their values: in a sample, only reading them
    gives others.

    Args:
        optimizer: A Keras optimizer. Other than `IVON`, it needs those at the
            current weights.
        variables: The trained variables.
        differentiate: Function without arguments that returns some results,
            and the gradients of the scaled loss with respect to each
            variable's `value`, which its tapes watch.

    Returns:
        The results, those of the last sample; and what the optimizer applies.
    """
    ivon = _ivon(optimizer)
    if ivon is None:
        return differentiate()
    if not optimizer.built:
        optimizer.build(variables)
    scale = optimizer.scale_loss(tf.constant(1.0))
    total = [None] * len(variables)
    for index in range(ivon.mc_samples):
        # One sample after the other, in the memory of one.
        before = [each for each in total if each is not None]
        with tf.control_dependencies(before):
            samples = ivon.sample(variables, ivon.noise_seed(index))
        with _Reading(zip(variables, samples, strict=True)):
            results, gradients = differentiate()
        observed = ivon.observe(variables, samples, gradients, scale)
        total = [_sum(*pair) for pair in zip(total, observed, strict=True)]
    return results, [
        None if each is None else each / ivon.mc_samples for each in total
    ]


@contextlib.contextmanager
def sampled_weights(network, seed=0):
    """Gives a network weights drawn by IVON, and then its own again.

    Args:
        network: A compiled `SuperWeightNetwork`, trained by `IVON` in this
            process or before it was saved.
        seed: Integer that determines the draw. Defaults to 0.

    Raises:
        ValueError: If the network was not trained by `IVON`.

    Example:

    ```python
    predictions = []
    for seed in range(16):
        with ksw.optimizers.sampled_weights(network, seed):
            predictions.append(network.predict(images))
    ```
    """
    optimizer = getattr(network, "optimizer", None)
    ivon = _ivon(optimizer)
    if ivon is None or not ivon.built:
        raise ValueError(
            "`network` must have been trained by "
            "`keras_superweights.optimizers.IVON`, which learns from what to "
            f"draw. Received: network='{network.name}' with "
            f"optimizer={optimizer!r}."
        )
    variables = network.trainable_variables
    means = [tf.identity(variable) for variable in variables]
    try:
        for variable, value in zip(
            variables, ivon.sample(variables, [seed, 0]), strict=True
        ):
            variable.assign(value)
        yield
    finally:
        for variable, mean in zip(variables, means, strict=True):
            variable.assign(mean)


class _Reading(keras.StatelessScope):
    """Lets variables be read as these tensors; others are assigned as ever.

    Keras' own scope keeps what is assigned to itself, which neither leaves a
    loop of TensorFlow nor reaches variables that belong to no model.
    """

    def __init__(self, values):
        super().__init__(
            values, collect_losses=True, initialize_variables=False
        )
        self._read = frozenset(self.state_mapping)

    def add_update(self, update):
        variable, value = update
        if id(variable) in self._read:
            super().add_update(update)
        else:
            variable._direct_assign(value)


def _ivon(optimizer):
    """Returns the `IVON` that an optimizer is or scales the loss of."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    return inner if isinstance(inner, IVON) else None


def _sum(total, value):
    return value if total is None or value is None else total + value
