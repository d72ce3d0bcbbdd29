"""What members say together, and metrics of each of them."""

import math

import keras
from keras import ops


def log_mean_probabilities(logits):
    """`log(mean_m softmax(logits_m))`, the ensemble's logits.

    Averages probabilities, not logits (seed 002, section 3.2). The result is
    a vector of log-probabilities, so that losses and metrics with
    `from_logits=True` mean what they say.

    Args:
        logits: One tensor `(batch, classes)` a member.

    Returns:
        A tensor `(batch, classes)` of float32 or wider.
    """
    dtype = keras.backend.result_type(logits[0].dtype, "float32")
    stacked = ops.stack([ops.cast(each, dtype) for each in logits])
    log_probabilities = ops.log_softmax(stacked, axis=-1)
    return ops.logsumexp(log_probabilities, axis=0) - math.log(len(logits))


class MemberMetrics:
    """The loss and the compiled metrics of each member.

    Args:
        num_members: Number of members.
        metrics: What `compile` was given: a list of names, functions and
            `keras.metrics.Metric` objects, which are copied for each member.

    Raises:
        ValueError: If the metrics are not in a list, or one has a name that
            means nothing without the shape of the labels.
    """

    def __init__(self, num_members, metrics):
        metrics = [] if metrics is None else metrics
        if isinstance(metrics, dict):
            raise ValueError(
                "`metrics` of an ensemble must be a list: every member has one "
                f"output. Received: metrics={metrics}."
            )
        if not isinstance(metrics, (list, tuple)):
            metrics = [metrics]
        self.losses = []
        self.metrics = []
        for member in range(num_members):
            prefix = f"member_{member}_"
            self.losses.append(keras.metrics.Mean(name=f"{prefix}loss"))
            self.metrics.append([_copy(m, prefix) for m in metrics])

    @property
    def all(self):
        """All metric objects, member by member."""
        return [
            metric
            for loss, metrics in zip(self.losses, self.metrics, strict=True)
            for metric in (loss, *metrics)
        ]

    def update(self, y, outputs, losses):
        """Adds one batch: outputs and losses are one a member.

        As in Keras, sample weights are for losses, not for `metrics`.
        """
        for index, output in enumerate(outputs):
            batch = ops.shape(output)[0]
            self.losses[index].update_state(losses[index], sample_weight=batch)
            for metric in self.metrics[index]:
                metric.update_state(y, output)


def _copy(metric, prefix):
    if metric in ("accuracy", "acc"):
        return keras.metrics.MeanMetricWrapper(
            _accuracy, name=f"{prefix}{metric}"
        )
    metric = keras.metrics.get(metric)
    if isinstance(metric, keras.metrics.Metric):
        config = metric.get_config()
        config["name"] = f"{prefix}{metric.name}"
        return type(metric).from_config(config)
    return keras.metrics.MeanMetricWrapper(
        metric, name=f"{prefix}{metric.__name__}"
    )


def _accuracy(y_true, y_pred):
    """Accuracy for integer and for one-hot labels, by their shape."""
    if len(y_true.shape) == 2 and y_true.shape[-1] == y_pred.shape[-1]:
        return keras.metrics.categorical_accuracy(y_true, y_pred)
    return keras.metrics.sparse_categorical_accuracy(y_true, y_pred)
