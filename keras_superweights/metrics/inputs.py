"""Checks of the arrays that metrics are given."""

import numpy as np

from keras_superweights.arguments import quoted


def checked_predictions(probabilities, labels):
    """Returns probabilities in float64, and integer labels for them."""
    probabilities = checked_probabilities(probabilities)
    return probabilities, checked_labels(labels, *probabilities.shape)


def checked_probabilities(probabilities, argument="probabilities"):
    """Returns `(num_examples, num_classes)` probabilities in float64.

    The sum of a row may differ from 1 by 0.01, for softmaxes in half precision.
    """
    array = checked_logits(probabilities, argument)
    sums = array.sum(axis=1)
    if array.min() < 0 or not np.allclose(sums, 1.0, rtol=0.0, atol=0.01):
        raise ValueError(
            f"`{argument}` must have one distribution over the classes per "
            "row; apply a softmax to logits. Received: values from "
            f"{array.min():.4g} to {array.max():.4g} and row sums from "
            f"{sums.min():.4g} to {sums.max():.4g}."
        )
    return array


def checked_labels(labels, num_examples, num_classes):
    """Returns labels as integers of shape `(num_examples,)`."""
    array = _array("labels", labels)
    if array.shape != (num_examples,):
        raise ValueError(
            f"`labels` must have the shape ({num_examples},), one class index "
            f"per example. Received: shape {array.shape}."
        )
    if not np.issubdtype(array.dtype, np.integer):
        raise TypeError(
            "`labels` must be integers, the indices of the classes. "
            f"Received: dtype {array.dtype}."
        )
    if array.min() < 0 or array.max() >= num_classes:
        raise ValueError(
            f"`labels` must lie in [0, {num_classes}). Received: values from "
            f"{array.min()} to {array.max()}."
        )
    return array


def _array(argument, value, dtype=None):
    try:
        return np.asarray(value, dtype)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"`{argument}` must be an array of numbers. Received: "
            f"{argument}={quoted(value)}."
        ) from error


def checked_logits(logits, argument="logits"):
    """Returns finite `(num_examples, num_classes)` logits in float64."""
    array = _array(argument, logits, np.float64)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(
            f"`{argument}` must have the shape (num_examples, num_classes), "
            f"neither of them zero. Received: shape {array.shape}."
        )
    if not np.isfinite(array).all():
        raise ValueError(
            f"`{argument}` must be finite. Received: "
            f"{np.count_nonzero(~np.isfinite(array))} infinite or undefined "
            f"of {array.size} values."
        )
    return array


def checked_scores(scores, argument, count=None):
    """Returns finite `(num_examples,)` scores in float64."""
    array = np.asarray(scores, dtype=np.float64)
    if (
        array.ndim != 1
        or not array.size
        or count not in (None, len(array))
        or not np.isfinite(array).all()
    ):
        raise ValueError(
            f"`{argument}` must hold one finite number per example"
            f"{'' if count is None else f', {count} of them'}. "
            f"Received: shape {array.shape}."
        )
    return array


def checked_gaussians(means, variances, positive=False):
    """Returns `(num_members, ...)` means and variances in float64."""
    means, variances = (
        np.asarray(each, dtype=np.float64) for each in (means, variances)
    )
    if means.ndim < 2 or not means.size or means.shape != variances.shape:
        raise ValueError(
            "`means` and `variances` must be of one shape, (num_members, ...), "
            f"none of them zero. Received: shapes {means.shape} and "
            f"{variances.shape}."
        )
    if not (np.isfinite(means).all() and np.isfinite(variances).all()):
        raise ValueError(
            "`means` and `variances` must be finite. Received: NaN or infinity."
        )
    if variances.min() < 0 or (positive and variances.min() == 0):
        raise ValueError(
            f"`variances` must be {'positive' if positive else 'at least 0'}. "
            f"Received: {variances.min():.4g}."
        )
    return means, variances
