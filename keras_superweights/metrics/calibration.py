"""Calibration: the distance between confidence and accuracy."""

import numpy as np

from keras_superweights.arguments import check_integer
from keras_superweights.metrics.inputs import checked_predictions


def expected_calibration_error(probabilities, labels, num_bins=15):
    """Returns the expected calibration error over equal-width bins.

    With the bins `B_1, ..., B_M` of `calibration_bins` and `n` examples,

        ECE = sum_m |B_m| / n * |accuracy(B_m) - confidence(B_m)|

    Args:
        probabilities: Array-like `(num_examples, num_classes)`.
        labels: Integer array-like `(num_examples,)`.
        num_bins: Positive integer `M`. Defaults to 15.

    Returns:
        A float in [0, 1]; 0 is perfect calibration.

    Raises:
        TypeError, ValueError: As `calibration_bins`.

    Example:

    >>> ece = expected_calibration_error([[0.8, 0.2], [0.3, 0.7]], [0, 0])
    >>> round(ece, 4)  # 1/2 * |1 - 0.8| + 1/2 * |0 - 0.7|
    0.45

    References:
        - Naeini et al., Obtaining Well Calibrated Probabilities Using Bayesian
          Binning (AAAI 2015)
        - Guo et al., On Calibration of Modern Neural Networks (ICML 2017),
          equation 3: https://arxiv.org/abs/1706.04599
    """
    bins = calibration_bins(probabilities, labels, num_bins)
    gaps = np.abs(bins["accuracy"] - bins["confidence"])
    return float(np.sum(bins["fraction"] * gaps))


def adaptive_calibration_error(probabilities, labels, num_bins=15):
    """Returns the calibration error over bins of equally many examples.

    Examples are sorted by confidence and cut into bins whose sizes differ by at
    most one, so that no bin is decided by a few of them; otherwise as
    `expected_calibration_error`. Bins have at least one example: with fewer
    examples than bins there are fewer bins.

    Args:
        probabilities: Array-like `(num_examples, num_classes)`.
        labels: Integer array-like `(num_examples,)`.
        num_bins: Positive integer. Defaults to 15.

    Returns:
        A float in [0, 1].

    Raises:
        TypeError, ValueError: As `calibration_bins`.

    Example:

    >>> rows = [[0.8, 0.2], [0.7, 0.3], [0.6, 0.4], [0.5, 0.5]]
    >>> error = adaptive_calibration_error(rows, [0, 0, 1, 0], num_bins=2)
    >>> round(error, 4)  # (|1 / 2 - 0.55| + |1 - 0.75|) / 2
    0.15

    References:
        - Nguyen and O'Connor, Posterior Calibration and Exploratory Analysis
          for Natural Language Processing Models (EMNLP 2015), section 3.2
    """
    check_integer("num_bins", num_bins)
    probabilities, labels = checked_predictions(probabilities, labels)
    confidences = probabilities.max(axis=1)
    gaps = (probabilities.argmax(axis=1) == labels) - confidences
    ordered = gaps[np.argsort(confidences, kind="stable")]
    bins = np.array_split(ordered, min(num_bins, len(labels)))
    return float(sum(abs(each.sum()) for each in bins) / len(labels))


def calibration_bins(probabilities, labels, num_bins=15):
    """Sorts examples by their confidence into bins of equal width.

    The confidence of an example is its largest probability. Bin `m` of `M`,
    counted from 1, holds confidences in `((m - 1) / M, m / M]`.

    Args:
        probabilities: Array-like `(num_examples, num_classes)`.
        labels: Integer array-like `(num_examples,)`.
        num_bins: Positive integer. Defaults to 15.

    Returns:
        A dict of arrays: `"edges"`, shape `(num_bins + 1,)`, and, with shape
        `(num_bins,)` each, `"fraction"` (of all examples), `"accuracy"` and
        `"confidence"` (means over the bin; 0 in an empty bin).

    Raises:
        TypeError: If the labels, or `num_bins`, are not integers.
        ValueError: If a row is not a distribution, the shapes do not agree,
            or `num_bins` is not positive.
    """
    check_integer("num_bins", num_bins)
    probabilities, labels = checked_predictions(probabilities, labels)
    confidences = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels

    edges = np.linspace(0.0, 1.0, num_bins + 1)
    # Only inner edges: a confidence rounded above 1 belongs to the last bin.
    indices = np.searchsorted(edges[1:-1], confidences, side="left")
    counts = np.bincount(indices, minlength=num_bins)
    occupied = np.maximum(counts, 1)
    return {
        "edges": edges,
        "fraction": counts / len(labels),
        "accuracy": np.bincount(indices, correct, num_bins) / occupied,
        "confidence": np.bincount(indices, confidences, num_bins) / occupied,
    }
