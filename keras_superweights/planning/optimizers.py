"""Optimizers, and what they keep for each variable: their slots."""

import inspect
import math
import re

import keras
import tensorflow as tf

# By the names under which Keras knows them.
OPTIMIZERS = {
    name.lower(): kind
    for name, kind in inspect.getmembers(keras.optimizers, inspect.isclass)
    if issubclass(kind, keras.optimizers.Optimizer)
    and "learning_rate" in inspect.signature(kind).parameters
}
# Sizes of the axes of a stand-in, by which they are told apart.
_PRIMES = (2, 3, 5, 7, 11, 13, 17, 19)


def fresh_optimizer(optimizer, policy):
    """A fresh optimizer like the one given, which scales the loss if needed."""
    if isinstance(optimizer, str):
        if optimizer.lower() not in OPTIMIZERS:
            raise ValueError(
                "`optimizer` must be a Keras optimizer or the name of one: "
                f"{', '.join(sorted(OPTIMIZERS))}. Received: "
                f"optimizer={optimizer!r}."
            )
        optimizer = OPTIMIZERS[optimizer.lower()]()
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise TypeError(
            "`optimizer` must be a Keras optimizer or the name of one. "
            f"Received: optimizer={optimizer!r}."
        )
    fresh = type(optimizer).from_config(optimizer.get_config())
    is_scaled = isinstance(fresh, keras.optimizers.LossScaleOptimizer)
    if policy.name == "mixed_float16" and not is_scaled:
        fresh = keras.optimizers.LossScaleOptimizer(fresh)
    return fresh


def slot_bytes(optimizer, variables):
    """Bytes of the optimizer's variables, once it has been built for these.

    A copy is built for stand-ins of a few scalars, one for all variables that
    differ in numbers only. Their axes have sizes that tell them apart: a slot
    has some of the axes of its variable, or all.
    """
    optimizer = type(optimizer).from_config(optimizer.get_config())
    kinds = {}  # of variables; an optimizer may ask for their names, too
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
    of_slots = {}  # by identity, the shapes of the variables that have such
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    for name, slots in vars(inner).items():
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
    """Scalars of a slot, whose axes stand for those of a variable."""
    axes = dict(zip(_PRIMES, shape, strict=False))
    return math.prod(axes.get(size, size) for size in slot)
