"""Accuracy, NLL and Brier score of predicted distributions."""

import numpy as np

from keras_superweights.metrics.inputs import checked_predictions


def accuracy(probabilities, labels):
    """Returns the fraction of examples whose most likely class is the label.

    If several classes are equally likely, the first one counts.

    Args:
        probabilities: Array-like `(num_examples, num_classes)`.
        labels: Integer array-like `(num_examples,)`.

    Returns:
        A float in [0, 1].

    Raises:
        TypeError: If the labels are not integers.
        ValueError: If a row is not a distribution, or the shapes do not agree.

    Example:

    >>> accuracy([[0.9, 0.1], [0.4, 0.6]], [0, 0])
    0.5
    """
    probabilities, labels = checked_predictions(probabilities, labels)
    return float(np.mean(probabilities.argmax(axis=1) == labels))


def negative_log_likelihood(probabilities, labels):
    """Returns the mean of `-log(p[label])` over the examples, in nats.

    A probability below the smallest normal float64, about 2.2e-308, counts as
    that number, so one example costs at most 708.4 nats, never infinity.

    Args:
        probabilities: Array-like `(num_examples, num_classes)`.
        labels: Integer array-like `(num_examples,)`.

    Returns:
        A float, at least 0.

    Raises:
        TypeError, ValueError: As `accuracy`.

    Example:

    >>> round(negative_log_likelihood([[0.25, 0.75], [0.5, 0.5]], [0, 1]), 4)
    1.0397
    """
    probabilities, labels = checked_predictions(probabilities, labels)
    of_labels = probabilities[np.arange(len(labels)), labels]
    clipped = np.maximum(of_labels, np.finfo(np.float64).tiny)
    return float(-np.mean(np.log(clipped)))


def brier_score(probabilities, labels):
    """Returns the mean squared distance of predictions from the labels.

    The squared differences from the one-hot label are summed over the classes,
    and averaged over the examples, as in Brier's definition; some libraries
    report half of it.

    Args:
        probabilities: Array-like `(num_examples, num_classes)`.
        labels: Integer array-like `(num_examples,)`.

    Returns:
        A float from 0 to 2; less is better.

    Raises:
        TypeError, ValueError: As `accuracy`.

    Example:

    >>> brier_score([[0.5, 0.5], [0.0, 1.0]], [0, 1])
    0.25

    References:
        - Brier, Verification of forecasts expressed in terms of probability
          (Monthly Weather Review 78, 1950)
    """
    probabilities, labels = checked_predictions(probabilities, labels)
    one_hot = np.eye(probabilities.shape[1])[labels]
    return float(np.mean(np.sum((probabilities - one_hot) ** 2, axis=1)))
