"""Bad values by kind of argument."""

import keras
import numpy as np

import keras_superweights as ksw
from keras_superweights import parts

nan, inf = float("nan"), float("inf")


class _Thing:
    def __repr__(self):
        return "thing"


THING = _Thing()
NO_NUMBER = ("3", [3], True, THING)
NO_TEXT = (3, True, ["a"], THING)
# By kind, the bad values. A kind that ends with "?" also takes None.
BAD = {
    "count": (*NO_NUMBER, 1.5, nan, 0, -1),
    "integer": (*NO_NUMBER, 1.5, nan),  # its range depends on others
    "index": (*NO_NUMBER, 1.5, nan, -1),
    "positive": (*NO_NUMBER, nan, inf, 0, -0.5),
    "amount": (*NO_NUMBER, nan, inf, -0.5),
    "part": (*NO_NUMBER, nan, 1.0, -0.5),  # from 0, below 1
    "threshold": (*NO_NUMBER, nan, 1.5, -2),
    "budget": (*NO_NUMBER, nan, inf, 0, -0.5, -1, 101.0),
    "flag": ("yes", "False", 2, 0.0, [], THING),
    "choice": (*NO_TEXT, "no_such"),
    "text": NO_TEXT,
    "stores": (3, True, {}, "no_such", [1.5], [], THING),
    "path": (3, True, [], {}, THING),
    "shape": (32, "888", (8, 8), (8, 8, 1, 1), (8, 8, 0), (8, 1.5, 1), THING),
    "model": (3, "model", [], {}, THING, keras.Model, [None]),
    "models": (3, "model", [], {}, THING, [None], [keras.layers.Dense(1)]),
    "network": (3, "network", [], {}, THING, keras.Model),
    "rule": (3, "SuperWeights", [], {}, THING, ksw.sharing.SuperWeights),
    "allocation": (3, "{}", [], {}, THING),
    "batches": (3, "data", [], {}, THING, np.zeros((4, 8, 8, 1))),
    "stream": (3, "data", THING, np.zeros((4, 8, 8, 1))),  # or none at all
    "function": (3, "relu", [], THING),
    "callbacks": (3, "backup", [None], THING, keras.callbacks.Callback),
    "loss": (3, "no_such", [], THING),
    "optimizer": (3, "no_such", [], THING),
    "kind": (3, "classifier", [], THING, ksw.ensembles.Classifier),
    "texts": (3, True, [3], [None], THING),
    "parts": (3, "RankOne", [3], THING, [parts.RankOne]),
    "indices": (3, "01", [0.5], [-1], [True], ["a"], THING),
    "sides": (3, "33", [0, 3], [-1, 3], [1.5, 3], [True, 3], [nan, 3], THING),
    "range": (3, "12", [], (1,), (1, 2, 3), (2, 1), (nan, 1), ("a", "b")),
    "choices": (3, "12", [], [1.5], [0], [1, 1], [True], ["a"]),
    "probabilities": (
        3,
        "p",
        [],
        [[0.5, "a"]],
        [[0.5], [0.25, 0.25]],
        np.full((4, 3), nan),
        np.full((4, 3), 0.5),
        np.full((4, 3), -1.0),
        np.ones(4),
        THING,
    ),
    "logits": (3, "l", [], [np.zeros(4)], [np.full((4, 3), nan)], THING),
    "labels": (3, "l", [], [0.5] * 4, [0, 1, 2], [0, 1, 2, 9], [-1] * 4, THING),
    "numbers": (3, "n", [], ["a"] * 2, [nan] * 2, [-1.0] * 2, [1.0], THING),
    "points": (3, "p", [], [{}], [3], {}, THING),
    "rows": (3, "p", [{}], [3], {}, THING),  # or none at all
    "table": (
        3,
        "t",
        [],
        [{}],
        [3],
        [{"members": [], "accuracy": 0.5, "flops": 1}],
        [{"members": [0], "accuracy": "a", "flops": 1}],
        [{"members": [0], "accuracy": 0.5, "flops": -1}],
        [{"members": [0], "accuracy": 0.5, "flops": nan}],
        [{"members": ["a"], "accuracy": 0.5, "flops": 1}],
        THING,
    ),
    "dict": (3, "d", [3], THING),
    "ties": (3, "t", [(7,)], [("a",)], [(0.5,)], {}, THING),
    "kernel": (3, "k", {}, THING),
}


def bad_values(kind):
    """Returns the bad values of a kind, none for the kind None."""
    if kind is None:
        return ()
    return BAD[kind.rstrip("?")] + (() if kind.endswith("?") else (None,))
