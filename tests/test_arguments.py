"""Arguments of another type, or out of range, over the public surface."""

from dataclasses import dataclass

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_superweights as ksw
from keras_superweights import anytime
from keras_superweights import arguments
from keras_superweights import callbacks
from keras_superweights import metrics
from keras_superweights import search
from tests import builders

DATA = tf.data.Dataset.from_tensors((np.ones((4, 5)), np.zeros(4)))
LOGITS = np.eye(3)[None]
PROBABILITIES = np.eye(3)
ROW = {"members": [0], "flops": 1, "milliseconds": 1.0, "accuracy": 0.5}
NUMBERS = (None, "x", True, np.nan, np.inf, [1], {}, 1j)
COUNTS = (*NUMBERS, -1, 1.5)
# Of these, None is the default.
GIVEN_COUNTS = COUNTS[1:]
FLAGS = (None, "yes", 1, [True])
PATHS = (3, None, [], b"x")


def member():
    return builders.perceptron(3)


@pytest.fixture(scope="module")
def network():
    network = ksw.SuperWeightNetwork([member, member], 0.9)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile("sgd", loss, run_eagerly=True)
    return network


def made(**kwargs):
    return ksw.SuperWeightNetwork([member], 0.9, **kwargs)


def found(**kwargs):
    return search.find_clusters([member], 1.5, DATA, **kwargs)


def learned(**kwargs):
    return search.learn_stores([member], 0.9, DATA, **kwargs)


def warmup(schedule=None, warmup_steps=1):
    cosine = keras.optimizers.schedules.CosineDecay(0.1, 9)
    return ksw.schedules.LinearWarmup(schedule or cosine, warmup_steps)


def inspector(log_dir="logs", **kwargs):
    return callbacks.SharingInspector(log_dir, **kwargs)


def chosen(**limit):
    return anytime.AnytimePredictor([member()], [ROW]).choose(**limit)


def answered(inputs):
    predictor = anytime.AnytimePredictor([member()], [ROW])
    return predictor.answers(inputs, flops=1)


def evaluated(flops=(1,), **kwargs):
    return metrics.evaluate_members(LOGITS, [0, 1, 2], flops, **kwargs)


def exported(network, directory="exported", **kwargs):
    return ksw.export.export_network(network, directory, **kwargs)


# What is called, with which argument, and values that it must refuse. Names of
# methods are those of a network's.
TABLE = [
    (made, "weight_decay", (*NUMBERS, -1)),
    (made, "decay_batch_norm", FLAGS),
    ("fit", "epochs", COUNTS),
    ("fit", "initial_epoch", COUNTS),
    ("fit", "steps_per_epoch", (*GIVEN_COUNTS, 0)),
    ("fit", "batch_size", (*GIVEN_COUNTS, 0)),
    ("fit", "validation_steps", (*GIVEN_COUNTS, 0)),
    ("fit", "validation_split", (*NUMBERS, -0.1, 1)),
    ("fit", "validation_freq", (None, "x", 0, 1.5)),
    ("fit", "class_weight", ("x", 3, [1])),
    ("fit", "callbacks", ("x", 3, keras.callbacks.Callback, [3], np.ones(2))),
    ("evaluate", "steps", (*GIVEN_COUNTS, 0)),
    ("predict", "batch_size", (*GIVEN_COUNTS, 0)),
    ("record_gradients", "recorder", ("x", 3, {}, True)),
    ("set_ties", "ties", (None, "x", 3, [3], ["x"], [(0.5, 1)] * 2)),
    (ksw.allocate, "budget_params", ("x", None, [], True, -1, np.nan)),
    (ksw.share, "strict", FLAGS),
    (found, "tau", (*NUMBERS, 2)),
    (found, "beta", (*NUMBERS[1:], -2)),
    (found, "pretrain_epochs", (0, True, "x")),
    (found, "steps_per_epoch", (0, 1.5)),
    (found, "initial_epoch", (-1, "x")),
    (found, "callbacks", (None, "x", [3])),
    (found, "sketch_size", (1, 2.5, "x")),
    (found, "weight_decay", (*NUMBERS, -1)),
    (learned, "seed", (*COUNTS, 2**32)),
    (search.refine, "measured", (None, "x", {})),
    (callbacks.CoefficientDecoupling, "beta", (*NUMBERS, 2)),
    (callbacks.CoefficientDecoupling, "epoch", (*COUNTS, 0)),
    (callbacks.CoefficientDecoupling, "every", (*GIVEN_COUNTS, 0)),
    (inspector, "log_dir", PATHS),
    (inspector, "figures_dir", (3, [])),
    (inspector, "refinement", ("x", 3, {})),
    (inspector, "every", (*COUNTS, 0)),
    (inspector, "diagnose", FLAGS),
    (warmup, "schedule", ("zz", 0.1, [1])),
    (warmup, "warmup_steps", (*COUNTS, 0)),
    (anytime.measure_latency, "batch_size", (*COUNTS, 0)),
    (anytime.measure_latency, "num_repeats", (*COUNTS, 0)),
    (chosen, "flops", (*NUMBERS[1:], -1)),
    (chosen, "milliseconds", (*NUMBERS[1:], -1)),
    (answered, "inputs", (None, {}, object())),
    (
        anytime.AnytimePredictor,
        "anytime",
        (None, 3, [3], [{}], [{**ROW, "members": []}]),
    ),
    (
        anytime.AnytimePredictor,
        "anytime",
        ([{**ROW, "flops": -1}], [{**ROW, "accuracy": 2j}]),
    ),
    (metrics.calibration_bins, "num_bins", (*COUNTS, 0)),
    (metrics.accuracy, "probabilities", (None, "x", {}, [[1], [1, 2]])),
    (metrics.accuracy, "labels", (None, "x", {}, [[1], [1, 2]])),
    (metrics.ensemble_probabilities, "member_logits", (None, 3, "x")),
    (metrics.diversity, "member_probabilities", (None, 3, "x")),
    (evaluated, "flops", (None, 3, ["x"], [-1], [np.nan], [True])),
    (evaluated, "milliseconds", (3, ["x"], [-1.0], [np.inf])),
    (metrics.pareto_frontier, "anytime", (None, 3, [3], [{"flops": 1}])),
    (metrics.pareto_frontier, "cost", (None, "time", 3)),
    (metrics.predict_members, "batches", (None, 3, np.ones((4, 5)), ["xyz"])),
    (metrics.predict_members, "network", (None, "x")),
    (metrics.same_architecture, "first", (None, "x")),
    (metrics.evaluate_corrupted, "corruptions", (None, "fog", 3)),
    (exported, "directory", PATHS),
    (exported, "formats", (3, [3], "pdf", [])),
    (ksw.export.format_exported, "files", (None, 3, [3])),
    (ksw.models.wide_resnet, "input_shape", (32, "x", None, (8, 8, "1"))),
    (ksw.models.wide_resnet, "num_classes", (*COUNTS, 0)),
    (ksw.models.narrowed, "factor", (*NUMBERS, 0)),
    (ksw.models.fitted, "models", ([], ())),
    (ksw.planning.plan_training, "num_workers", (*COUNTS, 0)),
]
# The other arguments that these need.
OTHERS = {
    ksw.allocate: {"members": [member]},
    ksw.share: {"model": member, "budget_params": 0.9},
    anytime.AnytimePredictor: {"network": [member()]},
    anytime.measure_latency: {"network": [member()], "num_repeats": 1},
    metrics.calibration_bins: {
        "probabilities": PROBABILITIES,
        "labels": [0, 1, 2],
    },
    metrics.accuracy: {"probabilities": PROBABILITIES, "labels": [0, 1, 2]},
    metrics.diversity: {"labels": [0, 1, 2]},
    metrics.pareto_frontier: {"anytime": [ROW]},
    metrics.predict_members: {"network": member(), "batches": DATA},
    metrics.same_architecture: {"first": member(), "second": member()},
    metrics.evaluate_corrupted: {"network": member(), "pipeline": None},
    ksw.models.wide_resnet: {"depth": 10, "width": 1},
    ksw.models.narrowed: {"model": member()},
    ksw.models.fitted: {"params": 30},
    ksw.planning.plan_training: {"members": [member], "allocation": None},
}


@pytest.mark.parametrize(
    ("call", "argument", "values"),
    TABLE,
    ids=[f"{getattr(c, '__name__', c)}-{a}" for c, a, _ in TABLE],
)
def test_an_error_names_argument_and_value(
    call, argument, values, network, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    others = OTHERS.get(call, {})
    if call is exported:
        others = {"network": network}
    if call in ("fit", "evaluate", "predict"):
        others = {"x": np.ones((4, 5)), "verbose": 0}
    if isinstance(call, str):
        call = getattr(network, call)
    for value in values:
        with pytest.raises((TypeError, ValueError)) as error:
            call(**{**others, argument: value})
        told = str(error.value)
        assert argument in told and "Received" in told, (value, told)
    assert not list(tmp_path.iterdir())


@dataclass(frozen=True)
class Fields:
    count: int = 1
    rate: float = 0.5
    choice: str | None = None
    sizes: tuple[tuple[int, ...], ...] = ()
    kind: type[keras.layers.Layer] = keras.layers.Dense

    __post_init__ = arguments.check_fields


def test_fields_have_the_types_that_they_declare():
    Fields(np.int64(2), 3, "a", ((1,), ()), keras.layers.Conv2D)
    for name, values in {
        "count": (True, 1.0, "1", None),
        "rate": ("x", None, True),
        "choice": (3, ["a"]),
        "sizes": ([], (1,), ((1.0,),), ((True,),), "ab"),
        "kind": (None, keras.layers.Dense(1), int),
    }.items():
        for value in values:
            with pytest.raises(TypeError, match=f"`{name}` must be of type"):
                Fields(**{name: value})


def test_what_is_refused_is_quoted_in_one_short_line():
    assert arguments.quoted([1, "a"]) == "[1, 'a']"
    text = arguments.quoted(np.ones((300, 300)))
    assert "\n" not in text and len(text) <= 200
    assert len(arguments.quoted("x" * 10**6)) == 200
