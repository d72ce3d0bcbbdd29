"""Anytime prediction and latency."""

import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_superweights import SuperWeightNetwork
from keras_superweights import ensembles
from keras_superweights import metrics
from keras_superweights import models
from keras_superweights.anytime import AnytimePredictor
from keras_superweights.anytime import measure_latency


def member(units, name):
    """A perceptron of 4 inputs and 3 classes; its FLOPs grow with `units`."""
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(units, activation="tanh")(inputs)
    # Wide weights, so that members differ in what they predict.
    outputs = keras.layers.Dense(3, kernel_initializer="random_normal")(hidden)
    model = keras.Model(inputs, outputs, name=name)
    model.set_weights([weight * 5 for weight in model.get_weights()])
    return model


def probabilities_of(model, inputs):
    logits = model.predict(inputs, verbose=0).astype("float64")
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def ensemble():
    """Three members, dearest first by FLOPs, and times of another order."""
    keras.utils.set_random_seed(1)
    members = [
        member(units, name)
        for units, name in ((9, "wide"), (6, "middle"), (2, "thin"))
    ]
    generator = np.random.default_rng(1)
    inputs = generator.normal(size=(40, 4)).astype("float32")
    labels = generator.integers(0, 3, 40)
    report = metrics.evaluate_members(
        [model.predict(inputs, verbose=0) for model in members],
        labels,
        flops=[metrics.count_flops(model) for model in members],
        milliseconds=[2.0, 1.0, 4.0],
    )
    return members, inputs, labels, report["anytime"]


def every_member_helps(table):
    """The table if more members were always more accurate."""
    return [{**row, "accuracy": len(row["members"]) / 3} for row in table]


@pytest.mark.parametrize(
    ("cost", "alone"),
    [
        ("flops", [2 * 4 * units + 2 * units * 3 for units in (9, 6, 2)]),
        ("milliseconds", [2.0, 1.0, 4.0]),
    ],
)
def test_the_best_subset_within_the_limit_is_chosen(ensemble, cost, alone):
    members, inputs, labels, table = ensemble
    predictor = AnytimePredictor(members, table)
    predicted = [probabilities_of(model, inputs) for model in members]
    for limit in sorted({point[cost] for point in table}):
        for slack in (0, 0.4):
            best = -1.0
            for subset in range(1, 8):
                chosen = [i for i in range(3) if subset >> i & 1]
                if sum(alone[i] for i in chosen) <= limit:
                    mean = np.mean([predicted[i] for i in chosen], axis=0)
                    hits = np.mean(mean.argmax(axis=1) == labels)
                    best = max(best, hits)
            row = predictor.choose(**{cost: limit + slack})
            assert row in table
            assert row[cost] <= limit
            assert row["accuracy"] == best


@pytest.mark.parametrize(
    ("cost", "order"), [("flops", [2, 1, 0]), ("milliseconds", [1, 0, 2])]
)
def test_the_answer_after_k_members_is_that_of_their_ensemble(
    ensemble, cost, order
):
    members, inputs, _, table = ensemble
    table = every_member_helps(table)
    answers = AnytimePredictor(members, table).answers(inputs, **{cost: 1000})
    for k, answer in enumerate(answers, start=1):
        chosen = [probabilities_of(members[i], inputs) for i in order[:k]]
        np.testing.assert_allclose(
            answer.numpy(), np.log(np.mean(chosen, axis=0)), atol=1e-5
        )
    assert k == 3


def test_a_member_runs_only_when_its_answer_is_requested(ensemble):
    _, inputs, _, table = ensemble
    ran = []

    class Spy(keras.layers.Layer):
        def call(self, inputs):
            ran.append(self.name)
            return inputs

    members = [
        keras.Sequential([keras.Input((4,)), Spy(name=name)], name=name)
        for name in ("wide", "middle", "thin")
    ]
    ran.clear()
    table = every_member_helps(table)
    answers = AnytimePredictor(members, table).answers(inputs, flops=1000)
    assert ran == []
    next(answers)
    assert set(ran) == {"thin"}
    next(answers)
    assert set(ran) == {"thin", "middle"}


def test_of_equally_accurate_subsets_the_cheapest_is_chosen(ensemble):
    members, _, _, table = ensemble
    equal = [{**row, "accuracy": 0.5} for row in table]
    predictor = AnytimePredictor(members, equal)
    assert predictor.choose(flops=1000)["members"] == [2]
    assert predictor.choose(milliseconds=1000)["members"] == [1]


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"flops": 27}, "least 28,.*member 2, 'thin'.*=27"),
        ({"milliseconds": 0.9}, r"least 1\.0,.*1, 'middle'.*milliseconds=0\.9"),
        ({"flops": float("nan")}, "`flops` must be a finite number.*nan"),
        ({}, "flops=None, milliseconds=None"),
        ({"flops": 9, "milliseconds": 1}, "flops=9, milliseconds=1"),
    ],
    ids=str,
)
def test_one_limit_is_required_that_a_member_meets(ensemble, limits, told):
    members, inputs, _, table = ensemble
    predictor = AnytimePredictor(members, table)
    with pytest.raises(ValueError, match=told):
        predictor.choose(**limits)
    # At once, not when the first answer is asked for.
    with pytest.raises(ValueError, match=told):
        predictor.answers(inputs, **limits)


def test_a_limit_is_of_a_known_cost(ensemble):
    members, _, _, table = ensemble
    table = [{k: row[k] for k in row if k != "milliseconds"} for row in table]
    with pytest.raises(ValueError, match="milliseconds of every subset"):
        AnytimePredictor(members, table).choose(milliseconds=9)


def test_a_table_of_other_members_is_refused(ensemble):
    members, _, _, table = ensemble
    with pytest.raises(ValueError, match=r"2 members alone.*\[0, 1, 2\]"):
        AnytimePredictor(members[:2], table)
    with pytest.raises(ValueError, match=r"alone.*\[0, 1\] alone, \[0, 1, 2\]"):
        AnytimePredictor(members, [x for x in table if x["members"] != [2]])
    with pytest.raises(TypeError, match="SuperWeightNetwork.*'thin'"):
        AnytimePredictor("thin", table)
    with pytest.raises(TypeError, match="at least one"):
        AnytimePredictor([], table)


def test_the_cheapest_of_eleven_members_is_named(ensemble):
    thin = ensemble[0][2]
    generator = np.random.default_rng(0)
    report = metrics.evaluate_members(
        generator.normal(size=(11, 20, 3)),
        generator.integers(0, 3, 20),
        flops=list(range(20, 9, -1)),
    )
    predictor = AnytimePredictor([thin] * 11, report["anytime"])
    with pytest.raises(ValueError, match="at least 10,.*member 10, 'thin'"):
        predictor.choose(flops=9)


NETWORKS = {
    "classes": (
        lambda: models.wide_resnet(10, 1, num_classes=3, input_shape=(8, 8, 1)),
        (5, 8, 8, 1),
        None,
    ),
    "means and variances": (
        lambda: keras.Sequential(
            [keras.Input((4,)), *map(keras.layers.Dense, (5, 5, 2))]
        ),
        (3, 4),
        ensembles.Regression(variance=True),
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_answers_what_it_predicts(name):
    build, shape, kind = NETWORKS[name]
    network = SuperWeightNetwork([build(), build()], 0.9, ensemble=kind)
    subsets = ([0], [1], [0, 1])
    table = [
        {"members": each, "flops": cost, "accuracy": 0.1 * cost}
        for cost, each in enumerate(subsets, start=1)
    ]
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    *_, last = AnytimePredictor(network, table).answers(x, flops=3)
    np.testing.assert_allclose(last, network(x, training=False), atol=1e-5)


class Sleep(keras.layers.Layer):
    """Takes the given seconds at every call, the last of them ever after."""

    def __init__(self, *seconds):
        super().__init__()
        self.seconds = seconds
        self.num_calls = 0

    def call(self, inputs):
        def sleep(values):
            index = min(self.num_calls, len(self.seconds) - 1)
            self.num_calls += 1
            time.sleep(self.seconds[index])
            return values

        slept = tf.numpy_function(sleep, [inputs], inputs.dtype)
        return tf.ensure_shape(slept, inputs.shape)

    def compute_output_shape(self, input_shape):
        return input_shape


def sleeper(*seconds):
    return keras.Sequential([keras.Input((4,)), Sleep(*seconds)])


@pytest.mark.parametrize("batch_size", [1, 10])
def test_latency_is_in_milliseconds_per_example(batch_size):
    members = [sleeper(0.02), sleeper(0.005)]
    start = time.perf_counter()
    slow, fast = measure_latency(members, batch_size, num_repeats=5)
    elapsed = 1000 * (time.perf_counter() - start)
    assert slow * batch_size >= 20
    assert fast * batch_size >= 5
    # Half of five calls took at least the median, however busy the machine.
    assert 3 * (slow + fast) * batch_size <= elapsed


def test_the_first_calls_do_not_count():
    (latency,) = measure_latency([sleeper(0.2, 0.2, 0.2, 0)], num_repeats=1)
    assert latency < 200


def test_latency_that_cannot_be_measured_is_refused():
    thin = member(2, "thin")
    for count in ("num_repeats", "batch_size"):
        with pytest.raises(ValueError, match=f"{count}=0"):
            measure_latency([thin], **{count: 0})
    inputs = keras.Input((None, 4))
    loose = keras.Model(inputs, keras.layers.Dense(2)(inputs), name="loose")
    with pytest.raises(ValueError, match=r"'loose'.*\(None, None, 4\)"):
        measure_latency([loose])
    unbuilt = keras.Sequential([keras.layers.Dense(2)], name="unbuilt")
    with pytest.raises(ValueError, match=r"'unbuilt' with inputs \[\]"):
        measure_latency([unbuilt])
