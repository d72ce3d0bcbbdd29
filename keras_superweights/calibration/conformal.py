"""Sets of classes and intervals of values with a promised coverage."""

import dataclasses
import math

import keras
import numpy as np

from keras_superweights.arguments import check_choice
from keras_superweights.metrics.inputs import checked_predictions
from keras_superweights.metrics.inputs import checked_probabilities


class _Conformal:
    def get_config(self):
        return dataclasses.asdict(self)

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@keras.saving.register_keras_serializable(package="keras_superweights")
@dataclasses.dataclass(frozen=True)
class ConformalSets(_Conformal):
    """Sets of classes that hold the label with a chosen probability.

    If the held-out examples and a new one are exchangeable, for example drawn
    from one distribution, a set holds the new label with a probability of at
    least `coverage`, whatever the network is.

    Attributes:
        threshold: Classes whose score is at most this are in the set.
        method: `"lac"`: the score is `1 - p(class)`, for the smallest sets
            [1]. `"aps"`: the probability of the class and of all that are
            likelier, for sets that are larger where the network is unsure [2];
            without its random part, so that sets are a little too large.

    Example:

    ```python
    sets = ksw.calibration.ConformalSets.fit(probabilities, labels, 0.9)
    sets(new_probabilities)  # a bool for every class of every example
    ```

    References:
        - [1] Sadinle et al., Least Ambiguous Set-Valued Classifiers with
          Bounded Error Levels (2019): https://arxiv.org/abs/1609.00451
        - [2] Romano et al., Classification with Valid and Adaptive Coverage
          (NeurIPS 2020): https://arxiv.org/abs/2006.02544
    """

    threshold: float
    method: str = "lac"

    def __post_init__(self):
        check_choice("method", self.method, ("lac", "aps"))

    @classmethod
    def fit(cls, probabilities, labels, coverage=0.9, method="lac"):
        """Returns the sets for a coverage.

        Args:
            probabilities: Array-like `(num_examples, num_classes)` of held-out
                examples.
            labels: Integer array-like `(num_examples,)`.
            coverage: Number between 0 and 1. Defaults to 0.9.
            method: See the attributes.

        Raises:
            TypeError, ValueError: As `metrics.accuracy`; if the coverage or
                the method is none.
        """
        probabilities, labels = checked_predictions(probabilities, labels)
        scores = cls(math.inf, method)._scores(probabilities)
        of_labels = scores[np.arange(len(labels)), labels]
        return cls(conformal_quantile(of_labels, coverage), method)

    def __call__(self, probabilities):
        """Returns a bool array `(num_examples, num_classes)`."""
        scores = self._scores(checked_probabilities(probabilities))
        return scores <= self.threshold

    def _scores(self, probabilities):
        if self.method == "lac":
            return 1.0 - probabilities
        order = np.argsort(-probabilities, axis=1, kind="stable")
        sums = np.take_along_axis(probabilities, order, axis=1).cumsum(axis=1)
        scores = np.empty_like(sums)
        np.put_along_axis(scores, order, sums, axis=1)
        return scores


@keras.saving.register_keras_serializable(package="keras_superweights")
@dataclasses.dataclass(frozen=True)
class ConformalIntervals(_Conformal):
    """Intervals that hold the value with a chosen probability.

    As `ConformalSets`, for networks that answer values: `mean - threshold *
    deviation` to `mean + threshold * deviation`, with the network's own
    standard deviations, or with 1 for all.

    Example:

    ```python
    mean, variance = np.split(network.predict(x), 2, axis=-1)
    intervals = ksw.calibration.ConformalIntervals.fit(
        mean, y, np.sqrt(variance), coverage=0.9
    )
    lower, upper = intervals(new_mean, np.sqrt(new_variance))
    ```

    References:
        - Lei et al., Distribution-Free Predictive Inference for Regression
          (2018), section 5.2: https://arxiv.org/abs/1604.04173
    """

    threshold: float

    @classmethod
    def fit(cls, means, values, deviations=None, coverage=0.9):
        """Returns the intervals for a coverage.

        Args:
            means: Array-like of what the network answers for held-out
                examples. Several values of an example count as examples.
            values: Array-like of the same shape: the truth.
            deviations: Array-like of the same shape, positive. Defaults to
                ones.
            coverage: Number between 0 and 1. Defaults to 0.9.

        Raises:
            ValueError: If the shapes differ, a number is not finite, a
                deviation is not positive, or the coverage is none.
        """
        means, values, deviations = _checked(means, values, deviations)
        scores = np.abs(values - means) / deviations
        return cls(conformal_quantile(scores.ravel(), coverage))

    def __call__(self, means, deviations=None):
        """Returns `(lower, upper)`, arrays of the shape of the means."""
        means, _, deviations = _checked(means, means, deviations)
        half = self.threshold * deviations
        return means - half, means + half


def conformal_quantile(scores, coverage):
    """Returns the score that new ones stay below with a probability.

    Of `n` scores, the `ceil((n + 1) coverage)`-th smallest; infinity if there
    are too few for such a coverage.
    """
    if not 0 < coverage < 1:
        raise ValueError(
            "`coverage` must be a number between 0 and 1. Received: "
            f"coverage={coverage!r}."
        )
    # Without what rounding adds to a product that is an integer.
    rank = math.ceil((len(scores) + 1) * coverage - 1e-9)
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else math.inf


def _checked(means, values, deviations):
    if deviations is None:
        deviations = np.ones(np.shape(means))
    arrays = [np.asarray(a, np.float64) for a in (means, values, deviations)]
    shapes = [array.shape for array in arrays]
    if len(set(shapes)) > 1 or not arrays[0].size:
        raise ValueError(
            "`means`, `values` and `deviations` must be of one shape. "
            f"Received: shapes {shapes}."
        )
    if not np.isfinite(arrays).all() or arrays[2].min() <= 0:
        raise ValueError(
            "`means` and `values` must be finite, `deviations` positive too. "
            f"Received: deviations from {arrays[2].min():.4g}."
        )
    return arrays
