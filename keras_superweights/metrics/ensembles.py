"""Joint predictions of members, and their diversity."""

import itertools

import numpy as np

from keras_superweights.arguments import check_type
from keras_superweights.metrics import inputs


def ensemble_probabilities(member_logits):
    """Returns the mean of the members' softmax probabilities, in float64.

    Args:
        member_logits: One array-like `(num_examples, num_classes)` per member,
            all of one shape.

    Returns:
        An array `(num_examples, num_classes)` of probabilities.

    Raises:
        ValueError: If there are no members, the shapes differ, or a logit is
            not finite.

    Example:

    >>> ensemble_probabilities([[[0.0, 0.0]], [[0.0, 200.0]]])
    array([[0.25, 0.75]])
    """
    return np.mean(member_softmaxes(member_logits), axis=0)


def member_softmaxes(member_logits):
    """Returns one array of probabilities per member, in float64."""
    is_list = isinstance(member_logits, (list, tuple, np.ndarray))
    expected = "a list of arrays, one per member"
    check_type("member_logits", member_logits, is_list, expected)
    logits = [
        inputs.checked_logits(values, f"member_logits[{index}]")
        for index, values in enumerate(member_logits)
    ]
    _check_same_shapes("member_logits", logits)
    exponentials = [
        np.exp(values - values.max(axis=1, keepdims=True)) for values in logits
    ]
    return [each / each.sum(axis=1, keepdims=True) for each in exponentials]


def diversity(member_probabilities, labels):
    """Returns how often members disagree, in units of their error.

    Let `y_i` be the predicted classes of member `i`, `d(i, j)` the fraction of
    examples on which `y_i` and `y_j` differ, and `e(j)` the error rate of
    member `j`. The result is the mean of `d(i, j) / e(j)` over all ordered
    pairs of different members with `e(j) > 0`. It is 0 for members that always
    agree, and up to 2 for two members that err equally often, never together.

    Pairs with `e(j) = 0` are left out, since their ratio is infinite or
    undefined. If no pair is left, the diversity is undefined.

    Args:
        member_probabilities: One array-like `(num_examples, num_classes)` per
            member, all of one shape.
        labels: Integer array-like `(num_examples,)`.

    Returns:
        A float, at least 0, or `None` if it is undefined: for a single
        member, and for members without any error.

    Raises:
        TypeError: If the labels are not integers.
        ValueError: If there are no members, a row is not a distribution, or
            the shapes do not agree.

    Example:

    >>> first = [[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]]
    >>> other = [[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]]
    >>> diversity([first, other], [0, 0, 1, 1])  # (1/4) / (2/4), (1/4) / (1/4)
    0.75

    References:
        - Fort et al., Deep Ensembles: A Loss Landscape Perspective (2019):
          https://arxiv.org/abs/1912.02757
    """
    return mean_ratio(disagreement_ratios(member_probabilities, labels))


def disagreement_ratios(member_probabilities, labels):
    """Returns `d(i, j) / e(j)` for every pair of members; see `diversity`.

    The array `(num_members, num_members)` is NaN on the diagonal, and in the
    columns of members without any error.
    """
    is_list = isinstance(member_probabilities, (list, tuple, np.ndarray))
    expected = "a list of arrays, one per member"
    check_type("member_probabilities", member_probabilities, is_list, expected)
    members = [
        inputs.checked_probabilities(values, f"member_probabilities[{index}]")
        for index, values in enumerate(member_probabilities)
    ]
    _check_same_shapes("member_probabilities", members)
    labels = inputs.checked_labels(labels, *members[0].shape)
    predictions = [values.argmax(axis=1) for values in members]
    errors = [np.mean(predicted != labels) for predicted in predictions]
    ratios = np.full((len(members), len(members)), np.nan)
    for i, j in itertools.permutations(range(len(members)), 2):
        if errors[j] > 0:
            differ = np.mean(predictions[i] != predictions[j])
            ratios[i, j] = differ / errors[j]
    return ratios


def mean_ratio(ratios):
    """Returns the mean of all ratios but NaN, or `None` if there are none."""
    defined = ratios[~np.isnan(ratios)]
    return float(defined.mean()) if defined.size else None


def _check_same_shapes(argument, arrays):
    shapes = [array.shape for array in arrays]
    if len(set(shapes)) != 1:
        raise ValueError(
            f"`{argument}` must hold one array (num_examples, num_classes) "
            "per member, at least one, all of the same shape. "
            f"Received: shapes {shapes}."
        )
