"""Losses and metrics of each member."""

import keras
from keras import ops

from keras_superweights.ensembles.diversity import is_one_hot


class MemberMetrics:
    """The loss and compiled metrics of each member, and comparisons.

    Args:
        num_members: Number of members with metrics of their own.
        metrics: Those of `compile`: a list of names, functions and
            `keras.metrics.Metric` objects, copied for each member; or `None`.
        comparisons: Metrics of all members together, such as `Diversity`,
            updated with the labels and a list of one value per member.
    """

    def __init__(self, num_members, metrics, comparisons):
        self.losses = []
        self.metrics = []
        for member in range(num_members):
            prefix = f"member_{member}_"
            self.losses.append(keras.metrics.Mean(name=f"{prefix}loss"))
            self.metrics.append([_copy(m, prefix) for m in metrics or []])
        self.comparisons = list(comparisons)
        self.built = False

    @property
    def all(self):
        """All metric objects, member by member, then the comparisons."""
        pairs = zip(self.losses, self.metrics, strict=True)
        found = [each for loss, metrics in pairs for each in (loss, *metrics)]
        return found + self.comparisons

    def build(self, y, prediction):
        """Makes variables that need shapes, such as those of `F1Score`.

        `prediction` is the ensemble's, of the same shape as a member's.
        """
        if not self.built:
            with keras.StatelessScope():  # changes no value
                self._update(y, [prediction] * len(self.metrics))
            self.built = True

    def update(self, y, observed, losses, targets=None):
        """Adds one batch; `observed` and `losses` have one value per member.

        So have `targets`, if members saw parts of the batch: nothing is
        compared then.
        As in Keras, sample weights apply to losses, not to `metrics`.
        """
        for tracker, loss in zip(self.losses, losses, strict=True):
            batch = ops.shape(observed[0])[0]
            tracker.update_state(loss, sample_weight=batch)
        self._update(y, observed, targets)
        self.built = True

    def _update(self, y, observed, targets=None):
        of_members = targets or [y] * len(observed)
        for metrics, target, each in zip(
            self.metrics, of_members, observed, strict=True
        ):
            for metric in metrics:
                metric.update_state(target, each)
        for comparison in () if targets else self.comparisons:
            comparison.update_state(y, observed)


def _copy(metric, prefix):
    is_accuracy = metric in ("accuracy", "acc")
    found = _accuracy if is_accuracy else keras.metrics.get(metric)
    is_object = isinstance(found, keras.metrics.Metric)
    name = found.name if is_object else found.__name__
    name = prefix + (metric if isinstance(metric, str) else name)
    if is_object:
        return type(found).from_config({**found.get_config(), "name": name})
    return keras.metrics.MeanMetricWrapper(found, name=name)


def _accuracy(y_true, y_pred):
    """Computes the accuracy for integer or one-hot labels, by their shape."""
    if is_one_hot(y_true, y_pred):
        return keras.metrics.categorical_accuracy(y_true, y_pred)
    return keras.metrics.sparse_categorical_accuracy(y_true, y_pred)
