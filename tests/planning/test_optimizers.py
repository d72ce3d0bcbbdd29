"""The slots of every optimizer are counted."""

import keras
import pytest

import keras_superweights as ksw
from keras_superweights.planning import OPTIMIZERS
from keras_superweights.planning import plan_training
from keras_superweights.sharing import Shapeshifter
from tests import builders
from tests.planning.networks import num_bytes


def dense_net():
    """With kernels of two and three axes, by which some optimizers differ."""
    inputs = keras.Input((3, 4))
    x = keras.layers.EinsumDense("bte,ehd->bthd", (3, 2, 3), bias_axes="hd")(
        inputs
    )
    x = keras.layers.Dense(5)(keras.layers.Reshape((3, 6))(x))
    return keras.Model(inputs, keras.layers.Dense(3)(x))


def test_slots_of_every_optimizer_are_counted():
    model = dense_net()
    allocation = ksw.allocate(model, 1.2, Shapeshifter())
    variables = ksw.SuperWeightNetwork(
        model, allocation=allocation
    ).trainable_variables
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 5)
    counts = set()
    for optimizer in (
        *(kind() for kind in OPTIMIZERS.values()),
        keras.optimizers.SGD(0.1, momentum=0.9),
        keras.optimizers.SGD(schedule, use_ema=True),
        keras.optimizers.Adam(amsgrad=True, gradient_accumulation_steps=2),
        keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam()),
    ):
        plan = plan_training(model, allocation, optimizer)
        optimizer.build(variables)
        assert plan.shared.slots == num_bytes(optimizer.variables)
        counts.add(plan.shared.slots)
    assert len(counts) > 6


def test_half_precision_brings_the_variables_that_scale_the_loss():
    slots = []
    for policy in ("mixed_bfloat16", "mixed_float16"):
        with builders.dtype_policy(policy):
            model = dense_net()
        allocation = ksw.allocate(model, 1.2, Shapeshifter())
        network = ksw.SuperWeightNetwork(model, allocation=allocation)
        network.compile("sgd", "mse")
        network.optimizer.build(network.trainable_variables)
        slots.append(plan_training(model, allocation).shared.slots)
        assert slots[-1] == num_bytes(network.optimizer.variables)
    assert slots[0] < slots[1]


def test_other_optimizers_are_refused():
    model = dense_net()
    allocation = ksw.allocate(model, 1.2, Shapeshifter())
    with pytest.raises(ValueError, match="`optimizer`.*adamw.*Received.*'sg'"):
        plan_training(model, allocation, "sg")
    with pytest.raises(TypeError, match="`optimizer`.*Received: optimizer=3"):
        plan_training(model, allocation, 3)
