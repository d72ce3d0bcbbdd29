"""The evaluation report of an ensemble, from its members' logits."""

import itertools

import numpy as np

from keras_superweights.arguments import as_tuple
from keras_superweights.arguments import check_choice
from keras_superweights.arguments import check_number
from keras_superweights.arguments import check_rows
from keras_superweights.arguments import check_type
from keras_superweights.metrics.calibration import expected_calibration_error
from keras_superweights.metrics.classification import accuracy
from keras_superweights.metrics.classification import brier_score
from keras_superweights.metrics.classification import negative_log_likelihood
from keras_superweights.metrics.ensembles import disagreement_ratios
from keras_superweights.metrics.ensembles import mean_ratio
from keras_superweights.metrics.ensembles import member_softmaxes

COSTS = ("flops", "milliseconds")
# 2 ** 10 - 1 = 1,023 subsets; each further member would double them.
MAX_MEMBERS_FOR_ALL_SUBSETS = 10


def evaluate_members(member_logits, labels, flops, milliseconds=None):
    """Measures an ensemble, each of its members, and its subsets.

    One forward pass is enough for all of them: a subset predicts the mean of
    its members' softmaxes, and its cost is the sum of theirs.

    Args:
        member_logits: One array-like `(num_examples, num_classes)` per member.
        labels: Integer array-like `(num_examples,)`.
        flops: One integer per member, the FLOPs for one example, from
            `count_flops`; or a single one of members that only answer
            together, in one model, which are the only point then.
        milliseconds: One positive number per member, the time for one
            example, from `keras_superweights.anytime.measure_latency`.
            Defaults to `None`: no times are reported.

    Returns:
        A dict of plain Python values, ready for `json.dump`:

        - `"accuracy"`, `"nll"` (nats), `"brier"` and `"ece"` (15 bins) of the
          ensemble;
        - `"diversity"`: a float, or `None` if it is undefined;
        - `"members"`: the same four of each member;
        - `"anytime"`: `{"members", "flops", "milliseconds", "accuracy",
          "nll", "brier", "ece", "diversity"}` of every non-empty subset, by
          ascending FLOPs; `"milliseconds"` only if they are given. `"members"`
          are indices, for example `[0, 2]`. With more than 10 members, only
          single members and the first two, the first three, ... are listed.

    Raises:
        TypeError: If the labels are not integers.
        ValueError: If there are no members, the shapes do not agree, or FLOPs
            or milliseconds do not have one number per member.

    Example:

    >>> logits = [[[2.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 9.0]]]
    >>> report = evaluate_members(logits, labels=[0, 1], flops=[10, 30])
    >>> report["accuracy"]
    1.0
    >>> [(point["members"], point["flops"]) for point in report["anytime"]]
    [([0], 10), ([1], 30), ([0, 1], 40)]
    """
    members = member_softmaxes(member_logits)
    costs = {"flops": [int(each) for each in _numbers("flops", flops)]}
    if milliseconds is not None:
        costs["milliseconds"] = _numbers("milliseconds", milliseconds)
    for cost, values in costs.items():
        if len(values) not in (len(members), 1) or len(values) != len(
            costs["flops"]
        ):
            raise ValueError(
                f"`{cost}` must hold one number per member, or one of all. "
                f"Received: {len(values)} for {len(members)} members."
            )
    ratios = disagreement_ratios(members, labels)
    return {
        **evaluate_probabilities(np.mean(members, axis=0), labels),
        "diversity": mean_ratio(ratios),
        "members": [evaluate_probabilities(each, labels) for each in members],
        "anytime": _anytime(members, labels, costs, ratios),
    }


def _numbers(argument, values):
    """Returns costs as plain numbers."""
    is_list = isinstance(values, (list, tuple, np.ndarray))
    check_type(argument, values, is_list, "a list of numbers, one per member")
    for each in values:
        check_number(argument, each)
    return [float(each) for each in values]


def evaluate_probabilities(probabilities, labels):
    """Returns `{"accuracy", "nll", "brier", "ece"}`.

    Accuracy is a fraction, NLL in nats, ECE over 15 bins. Takes the arguments
    of `accuracy`, and raises its errors.
    """
    return {
        "accuracy": accuracy(probabilities, labels),
        "nll": negative_log_likelihood(probabilities, labels),
        "brier": brier_score(probabilities, labels),
        "ece": expected_calibration_error(probabilities, labels),
    }


def pareto_frontier(anytime, cost="flops"):
    """Returns the subsets that are more accurate than any that costs no more.

    Args:
        anytime: List of dicts with `"accuracy"` and the cost, such as
            `"anytime"` in the result of `evaluate_members`.
        cost: `"flops"` or `"milliseconds"`. Defaults to `"flops"`.

    Returns:
        The dicts of these subsets, by ascending cost and accuracy. The last
        one within a limit is the best within that limit.

    Raises:
        ValueError: If the list is empty or lacks that cost.

    Example:

    >>> points = [
    ...     {"members": [0], "flops": 10, "accuracy": 0.7},
    ...     {"members": [1], "flops": 30, "accuracy": 0.6},
    ...     {"members": [0, 1], "flops": 40, "accuracy": 0.8},
    ... ]
    >>> [point["members"] for point in pareto_frontier(points)]
    [[0], [0, 1]]
    """
    check_choice("cost", cost, COSTS)
    expected = "a list of dicts, such as the report's"
    as_tuple("anytime", anytime, dict, expected)
    if not anytime:
        raise ValueError(
            "`anytime` must have at least one subset. Received: an empty list."
        )
    lacking = [point for point in anytime if cost not in point]
    if lacking:
        raise ValueError(
            f"`anytime` must have the {cost} of every subset; pass them to "
            f"`evaluate_members`. Received: cost={cost!r} and a subset with "
            f"{sorted(lacking[0])}."
        )
    for point in anytime:
        for key in (cost, "accuracy"):
            check_number(f"{key} of `anytime`", point.get(key))
    return best_within(anytime, cost, "accuracy")


def best_within(points, cost, quality):
    """Returns the points that are better than any that costs no more.

    Args:
        points: List of dicts with the keys `cost` and `quality`.
        cost: Key of the cost.
        quality: `"accuracy"`, or a key of which less is better, like `"nll"`.

    Returns:
        Some of the dicts, by ascending cost. The last one within a limit is
        the best within that limit.
    """
    for argument, key in (("cost", cost), ("quality", quality)):
        check_type(argument, key, isinstance(key, str), "a key of `points`")
    check_rows("points", points, (cost, quality))
    sign = 1 if quality == "accuracy" else -1
    best = []
    for point in sorted(points, key=lambda p: (p[cost], -sign * p[quality])):
        if not best or sign * point[quality] > sign * best[-1][quality]:
            best.append(point)
    return best


def _anytime(members, labels, costs, ratios):
    points, subsets = [], _subsets(len(members))
    if len(costs["flops"]) < len(members):  # they only answer together
        subsets = [tuple(range(len(members)))]
        costs = {
            cost: values + [0] * (len(members) - 1)
            for cost, values in costs.items()
        }
    for subset in subsets:
        mean = sum(members[index] for index in subset) / len(subset)
        points.append(
            {
                "members": list(subset),
                **{
                    cost: sum(values[index] for index in subset)
                    for cost, values in costs.items()
                },
                **evaluate_probabilities(mean, labels),
                "diversity": mean_ratio(ratios[np.ix_(subset, subset)]),
            }
        )
    return sorted(points, key=lambda point: point["flops"])


def _subsets(num_members):
    if num_members > MAX_MEMBERS_FOR_ALL_SUBSETS:
        alone = [(index,) for index in range(num_members)]
        sizes = range(2, num_members + 1)
        return alone + [tuple(range(size)) for size in sizes]
    return [
        subset
        for size in range(1, num_members + 1)
        for subset in itertools.combinations(range(num_members), size)
    ]
