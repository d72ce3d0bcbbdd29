"""Losses and metrics that are reported for every member."""

import keras
from keras import ops

from keras_superweights.ensembles.diversity import is_one_hot


class MemberMetrics:
    """The loss and the compiled metrics of each member, and comparisons.

    Args:
        num_members: Number of members that have metrics of their own.
        metrics: What `compile` was given: a list of names, functions and
            `keras.metrics.Metric` objects, which are copied for each member.
        comparisons: Metrics of all members together, such as `Diversity`:
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
        of_members = [
            metric
            for loss, metrics in zip(self.losses, self.metrics, strict=True)
            for metric in (loss, *metrics)
        ]
        return [*of_members, *self.comparisons]

    def build(self, y, prediction):
        """Makes the variables of metrics that wait for shapes, as `F1Score`.

        Args:
            y: Labels.
            prediction: What metrics see of the ensemble, which has the shape
                of what they see of a member.
        """
        if not self.built:
            with keras.StatelessScope():  # no value is changed
                self._update(y, [prediction] * len(self.metrics))
            self.built = True

    def update(self, y, observed, losses):
        """Adds one batch: what is observed and losses are one per member.

        As in Keras, sample weights are for losses, not for `metrics`.
        """
        for tracker, loss in zip(self.losses, losses, strict=True):
            batch = ops.shape(observed[0])[0]
            tracker.update_state(loss, sample_weight=batch)
        self._update(y, observed)
        self.built = True

    def _update(self, y, observed):
        for metrics, each in zip(self.metrics, observed, strict=True):
            for metric in metrics:
                metric.update_state(y, each)
        for comparison in self.comparisons:
            comparison.update_state(y, observed)


def _copy(metric, prefix):
    if metric in ("accuracy", "acc"):
        return keras.metrics.MeanMetricWrapper(
            _accuracy, name=f"{prefix}{metric}"
        )
    found = keras.metrics.get(metric)
    if isinstance(found, keras.metrics.Metric):
        name = metric if isinstance(metric, str) else found.name
        config = {**found.get_config(), "name": f"{prefix}{name}"}
        return type(found).from_config(config)
    name = metric if isinstance(metric, str) else found.__name__
    return keras.metrics.MeanMetricWrapper(found, name=f"{prefix}{name}")


def _accuracy(y_true, y_pred):
    """Accuracy for integer and for one-hot labels, by their shape."""
    if is_one_hot(y_true, y_pred):
        return keras.metrics.categorical_accuracy(y_true, y_pred)
    return keras.metrics.sparse_categorical_accuracy(y_true, y_pred)
