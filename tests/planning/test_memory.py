"""The table of a plan, bytes that workers exchange, slots of optimizers."""

import keras
import numpy as np
import pytest

import keras_superweights as ksw
from keras_superweights import planning
from keras_superweights.sharing import Shapeshifter
from keras_superweights.sharing import SuperWeights
from tests import builders
from tests.planning.networks import num_bytes
from tests.planning.networks import two_convs


@pytest.mark.parametrize("num_workers", [1, 2, 3, 8])
def test_exchanged_bytes_equal_those_of_a_ring(num_workers):
    """Chunks go around once to be added up, and once more as sums."""
    scalars = 24 * num_workers
    values = np.random.default_rng(0).normal(size=(num_workers, scalars))
    chunks = values.reshape(num_workers, num_workers, -1).copy()
    sent = np.zeros(num_workers)
    for adds in (True, False):
        for step in range(num_workers - 1):
            before = chunks.copy()
            for worker in range(num_workers):
                chunk = (worker - step + (not adds)) % num_workers
                after = (worker + 1) % num_workers
                message = before[worker, chunk]
                sent[worker] += message.size * 4
                chunks[after, chunk] = message + adds * before[after, chunk]
    expected = np.broadcast_to(values.sum(0), values.shape)
    np.testing.assert_allclose(chunks.reshape(values.shape), expected)
    memory = planning.TrainingMemory(
        *(0, 20 * num_workers * 4, 0, 0), statistics=4 * num_workers * 4
    )
    assert (sent == memory.exchanged(num_workers)).all()


def test_the_table_adds_up():
    models = two_convs("float32")
    allocation = ksw.allocate(models, 0.8, SuperWeights())
    plan = planning.plan_training(models, allocation, "adam", num_workers=4)
    assert str(plan).startswith("Adam; float32\n")
    rows = {
        line[:31].strip(): line[31:].split() for line in str(plan).splitlines()
    }
    units = {"B": 1, "KiB": 1024}

    def both(label):
        one, unit, other, other_unit, *_ = rows[label]
        return float(one) * units[unit], float(other) * units[other_unit]

    fields = {
        "parameters": "parameters",
        "gradients": "gradients",
        "optimizer": "slots",
        "not trained": "untrained",
        "generated kernels": "generated",
        "their gradients": "kernel_gradients",
        "at once, at most": "peak",
    }
    for label, field in fields.items():
        expected = [getattr(p, field) for p in (plan.shared, plan.alone)]
        assert both(label) == pytest.approx(expected, rel=0.06), label
    ratio = allocation.num_params / allocation.independent_params
    assert rows["parameters"][-1] == f"{ratio:.1%}"
    assert both("sent by each of 4 workers")[1] == pytest.approx(
        1.5 * plan.alone.gradients, rel=0.06
    )
    fixed = sum(both(row)[1] for row in list(fields)[:4])
    assert both("at once, at most")[1] == pytest.approx(fixed, rel=0.06)


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
    needed = {"ivon": {"ess": 4}}
    for optimizer in (
        *(
            kind(**needed.get(name, {}))
            for name, kind in planning.OPTIMIZERS.items()
        ),
        keras.optimizers.SGD(0.1, momentum=0.9),
        keras.optimizers.SGD(schedule, use_ema=True),
        keras.optimizers.Adam(amsgrad=True, gradient_accumulation_steps=2),
        keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam()),
    ):
        plan = planning.plan_training(model, allocation, optimizer)
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
        slots.append(planning.plan_training(model, allocation).shared.slots)
        assert slots[-1] == num_bytes(network.optimizer.variables)
    assert slots[0] < slots[1]


def test_other_optimizers_are_refused():
    model = dense_net()
    allocation = ksw.allocate(model, 1.2, Shapeshifter())
    with pytest.raises(ValueError, match="`optimizer`.*adamw.*Received.*'sg'"):
        planning.plan_training(model, allocation, "sg")
    with pytest.raises(ValueError, match="`ess` of `IVON` must be the number"):
        planning.plan_training(model, allocation, "ivon")
    with pytest.raises(TypeError, match="`optimizer`.*Received: optimizer=3"):
        planning.plan_training(model, allocation, 3)
