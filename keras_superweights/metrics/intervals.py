"""Measures of predicted distributions of values."""

import math

import numpy as np

from keras_superweights.metrics.inputs import checked_gaussians


def crps(means, variances, values):
    """Returns the mean continuous ranked probability score, in units of values.

    Of the mixture of one normal distribution per member, in closed form [1]:
    with `A(mu, v) = mu (2 Phi(mu / s) - 1) + 2 s phi(mu / s)`, `s = sqrt(v)`,

        mean_m A(y - mu_m, v_m) - mean_mn A(mu_m - mu_n, v_m + v_n) / 2

    For a single point without variance it is the absolute error. Less is
    better.

    Args:
        means: Array-like `(num_members, ...)`; `(1, ...)` for one network, or
            for an ensemble's mean and variance.
        variances: Array-like of the same shape, not negative.
        values: Array-like of the shape of one member's means: the truth.

    Raises:
        ValueError: If the shapes do not agree, a number is not finite or a
            variance is negative.

    Example:

    >>> round(crps([[0.0]], [[1.0]], [0.0]), 4)  # (sqrt(2) - 1) / sqrt(pi)
    0.2337

    References:
        - [1] Grimit et al., The continuous ranked probability score for
          circular variables and its application to mesoscale forecast ensemble
          verification (2006), equation 5
        - Gneiting and Raftery, Strictly Proper Scoring Rules, Prediction, and
          Estimation (2007), section 4.2
    """
    means, variances = checked_gaussians(means, variances)
    values = _checked_values(values, means)
    scores = np.mean(_mean_distance(values - means, variances), axis=0)
    for mean, variance in zip(means, variances, strict=True):
        between = _mean_distance(mean - means, variance + variances)
        scores = scores - between.mean(axis=0) / (2 * len(means))
    return float(scores.mean())


def interval_coverage(lower, upper, values):
    """Returns the fraction of values inside their intervals, and the width.

    Args:
        lower, upper: Array-likes of one shape: the ends, both inside.
        values: Array-like of the same shape: the truth.

    Returns:
        A dict: `"coverage"`, a fraction, and `"width"`, the mean width.

    Raises:
        ValueError: If the shapes differ, a number is not finite, or an
            interval ends before it begins.

    Example:

    >>> interval_coverage([0.0, 0.0], [1.0, 3.0], [0.5, 9.0])
    {'coverage': 0.5, 'width': 2.0}
    """
    lower = np.asarray(lower, dtype=np.float64)
    upper, values = (
        _checked_values(each, lower[None]) for each in (upper, values)
    )
    if not np.isfinite(lower).all() or (lower > upper).any():
        raise ValueError(
            "`lower` must be finite and nowhere above `upper`. Received: "
            f"lower from {lower.min():.4g} and widths from "
            f"{(upper - lower).min():.4g}."
        )
    inside = (lower <= values) & (values <= upper)
    return {
        "coverage": float(inside.mean()),
        "width": float((upper - lower).mean()),
    }


def _mean_distance(means, variances):
    """Returns the mean of |x| for normal x."""
    from scipy.special import ndtr

    deviations = np.sqrt(variances)
    safe = np.where(deviations > 0, deviations, 1.0)
    ratios = means / safe
    density = np.exp(-(ratios**2) / 2) / math.sqrt(2 * math.pi)
    spread = means * (2 * ndtr(ratios) - 1) + 2 * deviations * density
    return np.where(deviations > 0, spread, np.abs(means))


def _checked_values(values, means):
    array = np.asarray(values, dtype=np.float64)
    if array.shape != means.shape[1:] or not np.isfinite(array).all():
        raise ValueError(
            f"Values must be finite, of the shape {means.shape[1:]}. "
            f"Received: shape {array.shape}."
        )
    return array
