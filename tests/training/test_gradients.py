"""Optimizer slots whose rows are copied."""

import keras
import numpy as np
import pytest

from keras_superweights.optimizers import IVON
from keras_superweights.training.gradients import move_slot_rows

ROWS, COLUMNS = 4, 3
SOURCES = [2, 0, 0, 3]


def built(optimizer):
    """Applies an optimizer to variables, of which two are matrices."""
    draw = np.random.default_rng(0)
    shapes = [(5,), (ROWS, COLUMNS), (ROWS, COLUMNS), ()]
    variables = [keras.Variable(draw.normal(size=s)) for s in shapes]
    if isinstance(optimizer, IVON):  # two of each gradient
        shapes = [(2, *shape) for shape in shapes]
    for _ in range(2):
        optimizer.apply(
            [keras.ops.convert_to_tensor(draw.normal(size=s)) for s in shapes],
            variables,
        )
    return variables


def slots_of(optimizer):
    return [v.numpy().copy() for v in optimizer.variables]


def make(name, **kwargs):
    return getattr(keras.optimizers, name)(0.01, **kwargs)


OPTIMIZERS = {
    "SGD": (lambda: make("SGD", momentum=0.9), 1),
    "SGD without momentum": (lambda: make("SGD"), 0),
    "Adam": (lambda: make("Adam"), 2),
    "AMSGrad": (lambda: make("Adam", amsgrad=True), 3),
    "AdamW": (lambda: make("AdamW"), 2),
    "RMSprop": (lambda: make("RMSprop", momentum=0.9, centered=True), 3),
    "Adagrad": (lambda: make("Adagrad"), 1),
    "Nadam": (lambda: make("Nadam"), 2),
    "Lion": (lambda: make("Lion"), 1),
    "IVON": (lambda: IVON(0.01, ess=8), 2),
    "average": (lambda: make("SGD", momentum=0.9, use_ema=True), 2),
    "loss scaling": (
        lambda: keras.optimizers.LossScaleOptimizer(
            make("Adam"), initial_scale=1.0
        ),
        2,
    ),
    # Factored: the slot of columns has no rows to move.
    "Adafactor": (lambda: make("Adafactor"), 2),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_rows_move_in_every_slot_of_the_variable_and_nowhere_else(name):
    factory, num_slots = OPTIMIZERS[name]
    optimizer = factory()
    variables = built(optimizer)
    before = slots_of(optimizer)
    values = [variable.numpy() for variable in variables]
    move_slot_rows(optimizer, variables[1], SOURCES)
    after = slots_of(optimizer)
    changed = 0
    for one, other in zip(before, after, strict=True):
        if (one != other).any():
            np.testing.assert_array_equal(other, one[SOURCES])
            changed += 1
    assert changed == num_slots
    for variable, value in zip(variables, values, strict=True):
        np.testing.assert_array_equal(variable, value)
