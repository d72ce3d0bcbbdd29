"""Optimizers, and their slots: what they keep for each variable."""

import inspect
import math
import re

import keras
import tensorflow as tf

from keras_superweights.optimizers import IVON

# By their names in Keras.
OPTIMIZERS = {"ivon": IVON} | {
    name.lower(): kind
    for name, kind in inspect.getmembers(keras.optimizers, inspect.isclass)
    if issubclass(kind, keras.optimizers.Optimizer)
    and "learning_rate" in inspect.signature(kind).parameters
}
# Sizes that identify the axes of stand-in variables.
_PRIMES = (2, 3, 5, 7, 11, 13, 17, 19)


def fresh_optimizer(optimizer, policy):
    """Returns a copy of an optimizer that scales the loss if needed."""
    expected = "`optimizer` must be a Keras optimizer or the name of one"
    if isinstance(optimizer, str):
        if optimizer.lower() not in OPTIMIZERS:
            raise ValueError(
                f"{expected}: {', '.join(sorted(OPTIMIZERS))}. "
                f"Received: optimizer={optimizer!r}."
            )
        optimizer = OPTIMIZERS[optimizer.lower()]()
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise TypeError(f"{expected}. Received: optimizer={optimizer!r}.")
    fresh = type(optimizer).from_config(optimizer.get_config())
    is_scaled = isinstance(fresh, keras.optimizers.LossScaleOptimizer)
    if policy.name == "mixed_float16" and not is_scaled:
        fresh = keras.optimizers.LossScaleOptimizer(fresh)
    return fresh


def inner_optimizer(optimizer):
    """Returns the optimizer inside of loss scaling, or the optimizer itself."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def gradient_bytes(optimizer, variables):
    """Returns the bytes of what the optimizer applies.

    `IVON` applies two tensors for each variable, at least in float32.
    """
    sizes = [(math.prod(v.shape), tf.as_dtype(v.dtype)) for v in variables]
    if reads_samples(optimizer):
        return sum(2 * size * max(dtype.size, 4) for size, dtype in sizes)
    return sum(size * dtype.size for size, dtype in sizes)


def reads_samples(optimizer):
    """Whether layers read samples of the variables, which are copies."""
    return isinstance(inner_optimizer(optimizer), IVON)


def slot_bytes(optimizer, variables):
    """Returns the bytes of the optimizer's variables, once it is built.

    Builds a copy for stand-ins of a few scalars, one for all variables that
    differ in numbers only. The sizes of their axes identify them: a slot has
    some or all axes of its variable.
    """
    optimizer = type(optimizer).from_config(optimizer.get_config())
    kinds = {}  # by name too, which an optimizer may ask for
    for variable in variables:
        name = re.sub(r"\d+", "", variable.path).replace("/", "_")
        kind = (len(variable.shape), variable.dtype, name)
        kinds.setdefault(kind, []).append(tuple(variable.shape))
    optimizer.build(
        [
            keras.Variable(tf.zeros(_PRIMES[:ndim], dtype), name=name)
            for ndim, dtype, name in kinds
        ]
    )
    shapes = list(kinds.values())
    of_slots = {}  # by a slot's identity, the shapes of its variables
    for name, slots in vars(inner_optimizer(optimizer)).items():
        # Slots are lists in the order of the variables, under names that
        # differ from optimizer to optimizer.
        if name in ("_variables", "_trainable_variables"):
            continue
        if isinstance(slots, list) and len(slots) == len(shapes):
            of_slots.update(zip(map(id, slots), shapes, strict=True))
    return sum(
        _scalars(slot.shape, shape) * tf.as_dtype(slot.dtype).size
        for slot in optimizer.variables
        for shape in of_slots.get(id(slot), [()])
    )


def _scalars(slot, shape):
    """Returns the scalars of a slot of a variable of some shape."""
    axes = dict(zip(_PRIMES, shape, strict=False))
    return math.prod(axes.get(size, size) for size in slot)
