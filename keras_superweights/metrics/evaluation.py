"""Everything that is reported of an ensemble, from its members' logits."""

import itertools

import numpy as np

from keras_superweights.metrics.calibration import expected_calibration_error
from keras_superweights.metrics.classification import accuracy
from keras_superweights.metrics.classification import negative_log_likelihood
from keras_superweights.metrics.ensembles import diversity
from keras_superweights.metrics.ensembles import member_softmaxes

# 2 ** 10 - 1 = 1,023 subsets; each further member would double them.
MAX_MEMBERS_FOR_ALL_SUBSETS = 10


def evaluate_members(member_logits, labels, flops):
    """Measures an ensemble, each of its members, and its subsets.

    One forward pass is enough for all of it: a subset predicts the mean of the
    softmaxes of its members, and costs the sum of their FLOPs.

    Args:
        member_logits: One array-like `(num_examples, num_classes)` per member.
        labels: Integer array-like `(num_examples,)`.
        flops: One integer per member, FLOPs for one example, as
            `count_flops` counts them.

    Returns:
        A dict of plain Python values, ready for `json.dump`:

        - `"accuracy"`, `"nll"` (nats) and `"ece"` (15 bins) of the ensemble;
        - `"diversity"`: a float, or `None` where it is not defined;
        - `"members"`: `{"accuracy", "nll", "ece"}` of each member;
        - `"anytime"`: `{"members", "flops", "accuracy"}` of every non-empty
          subset, by ascending FLOPs. `"members"` are indices, for example
          `[0, 2]`. With more than 10 members, only of the first, the first
          two, the first three, ...

    Raises:
        TypeError: If the labels are not integers.
        ValueError: If there is no member, the shapes do not agree, or there
            is not one number of FLOPs per member.

    Example:

    >>> logits = [[[2.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 9.0]]]
    >>> report = evaluate_members(logits, labels=[0, 1], flops=[10, 30])
    >>> report["accuracy"]
    1.0
    >>> [(point["members"], point["flops"]) for point in report["anytime"]]
    [([0], 10), ([1], 30), ([0, 1], 40)]
    """
    members = member_softmaxes(member_logits)
    if len(flops) != len(members):
        raise ValueError(
            "`flops` must hold one number per member. "
            f"Received: {len(flops)} for {len(members)} members."
        )
    ensemble = _summary(np.mean(members, axis=0), labels)
    return {
        **ensemble,
        "diversity": diversity(members, labels),
        "members": [_summary(member, labels) for member in members],
        "anytime": _anytime(members, labels, flops),
    }


def _summary(probabilities, labels):
    return {
        "accuracy": accuracy(probabilities, labels),
        "nll": negative_log_likelihood(probabilities, labels),
        "ece": expected_calibration_error(probabilities, labels),
    }


def _anytime(members, labels, flops):
    points = []
    for subset in _subsets(len(members)):
        mean = sum(members[index] for index in subset) / len(subset)
        points.append(
            {
                "members": list(subset),
                "flops": sum(int(flops[index]) for index in subset),
                "accuracy": accuracy(mean, labels),
            }
        )
    return sorted(points, key=lambda point: point["flops"])


def _subsets(num_members):
    sizes = range(1, num_members + 1)
    if num_members > MAX_MEMBERS_FOR_ALL_SUBSETS:
        return [tuple(range(size)) for size in sizes]
    return [
        subset
        for size in sizes
        for subset in itertools.combinations(range(num_members), size)
    ]
