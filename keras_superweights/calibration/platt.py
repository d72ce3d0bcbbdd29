"""Scaled logits of labels that exclude nothing."""

import keras
import numpy as np

from keras_superweights.calibration.scaling import Calibration
from keras_superweights.calibration.scaling import check_last_axis
from keras_superweights.calibration.scaling import checked_line
from keras_superweights.calibration.scaling import on_line


@keras.saving.register_keras_serializable(package="keras_superweights")
class PlattScaling(Calibration):
    """Scales and shifts the logit of each label, for `MultiLabel` networks.

    Answers logits `slopes * logits + biases`, so that `sigmoid` of them are
    probabilities.

    Args:
        slopes, biases: Sequences of one finite number per label; one for a
            binary network.

    Raises:
        ValueError: If they are not such sequences of one length.

    References:
        - Platt, Probabilistic Outputs for Support Vector Machines and
          Comparisons to Regularized Likelihood Methods (1999), section 2.2
    """

    def __init__(self, slopes, biases):
        self.slopes, self.biases = checked_line(
            "slopes", "label", slopes, biases
        )

    @classmethod
    def fit(cls, logits, labels):
        """Returns the scaling with the lowest loss on held-out examples.

        Labels are smoothed as in the paper: with `n` positive and `m` negative
        examples of a label, they count as `(n + 1) / (n + 2)` and
        `1 / (m + 2)`, which keeps the numbers finite.

        Args:
            logits: Array-like `(num_examples, num_labels)`, what
                `network.predict` returns.
            labels: Array-like of zeros and ones, of the same shape; the last
                axis may be missing if there is one label.

        Raises:
            ValueError: If the shapes do not agree, a logit is not finite, or a
                label is neither 0 nor 1.
        """
        logits = np.asarray(logits, dtype=np.float64)
        labels = np.asarray(labels)
        if labels.ndim == 1:
            labels = labels[:, None]
        if logits.ndim != 2 or not logits.size or logits.shape != labels.shape:
            raise ValueError(
                "`logits` and `labels` must be of one shape, (num_examples, "
                f"num_labels). Received: shapes {logits.shape} and "
                f"{labels.shape}."
            )
        if not np.isfinite(logits).all() or not np.isin(labels, (0, 1)).all():
            raise ValueError(
                "`logits` must be finite and `labels` 0 or 1. Received: labels "
                f"from {labels.min()} to {labels.max()}."
            )
        pairs = zip(logits.T, labels.T, strict=True)
        found = [_fit(column, targets) for column, targets in pairs]
        return cls(*np.transpose(found))

    def check(self, shape):
        check_last_axis(len(self.slopes), "labels", shape)

    def __call__(self, answer):
        return on_line(answer, self.slopes, self.biases)

    def get_config(self):
        return {"slopes": self.slopes, "biases": self.biases}


def _fit(logits, labels):
    """Returns slope and bias of one label."""
    from scipy.optimize import minimize
    from scipy.special import expit

    positive = labels.sum()
    negative = len(labels) - positive
    high, low = (positive + 1) / (positive + 2), 1 / (negative + 2)
    targets = np.where(labels, high, low)

    def loss(values):
        scaled = values[0] * logits + values[1]
        loss = np.logaddexp(0.0, scaled) - targets * scaled
        gaps = expit(scaled) - targets
        return loss.mean(), [np.mean(gaps * logits), gaps.mean()]

    begin = [1.0, 0.0]
    return minimize(loss, begin, jac=True, method="L-BFGS-B", tol=1e-12).x
