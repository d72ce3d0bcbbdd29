"""What members say together, what trains them, and metrics of each."""

import inspect
import math

import keras
from keras import ops
from keras.src.backend import get_keras_mask
from keras.src.backend import set_keras_mask


def log_mean_probabilities(logits):
    """`log(mean_m softmax(logits_m))`, the ensemble's logits.

    Averages probabilities, not logits (ME, section 3.2). The result is
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


def at_least_float32(outputs):
    """Outputs for metrics, which round labels to the dtype of predictions.

    Args:
        outputs: What a member returns, a tensor or a structure of them.

    Returns:
        The same, masks included; float16 and bfloat16 as float32.
    """

    def widened(output):
        if output.dtype not in ("float16", "bfloat16"):
            return output
        wide = ops.cast(output, "float32")
        set_keras_mask(wide, get_keras_mask(output))
        return wide

    return keras.tree.map_structure(widened, outputs)


def check_loss(loss):
    """Refuses what is no loss of an ensemble, whose members return logits.

    Args:
        loss: What `compile` was given: a name, a function, a
            `keras.losses.Loss`, or `None`.

    Raises:
        ValueError: If there are several losses, or the loss has
            `from_logits=False`: on logits it would be finite, and wrong.
    """
    if isinstance(loss, (dict, list, tuple)):
        raise ValueError(
            "`loss` must be one loss: an ensemble has one output, and every "
            f"member is trained with the same loss. Received: loss={loss!r}."
        )
    if not _takes_logits(keras.losses.get(loss)):
        raise ValueError(
            "`loss` must take logits, which is what members of an ensemble "
            f"return. Received: loss={loss!r}, which has from_logits=False. "
            "Write `keras.losses.SparseCategoricalCrossentropy("
            "from_logits=True)`, or for one-hot labels "
            "`keras.losses.CategoricalCrossentropy(from_logits=True)`."
        )


def _takes_logits(loss):
    """Whether a loss says so, or does not say what it takes."""
    if isinstance(loss, keras.losses.Loss):
        return loss.get_config().get("from_logits", True)
    if loss is None:
        return True
    parameter = inspect.signature(loss).parameters.get("from_logits")
    return parameter is None or parameter.default is not False


@keras.saving.register_keras_serializable(package="keras_superweights")
class Diversity(keras.metrics.Metric):
    """How often members disagree, in units of their error.

    The mean of `d(i, j) / e(j)` over all ordered pairs of different members
    with `e(j) > 0`, as `keras_superweights.metrics.diversity` defines it, but
    batch by batch: `d(i, j)` is the fraction of examples on which members `i`
    and `j` predict different classes, `e(j)` the error rate of member `j`. Its
    state is sums over examples, so replicas add theirs up. SWN, section
    3.4.

    Args:
        num_members: Number of members, at least 2.
        name: Name of the metric. Defaults to `"diversity"`.
        **kwargs: As for `keras.metrics.Metric`.

    Raises:
        ValueError: If there are fewer than two members.

    Example:

    >>> metric = Diversity(2)
    >>> right, half = [[2.0, 0.0], [0.0, 2.0]], [[2.0, 0.0], [2.0, 0.0]]
    >>> metric.update_state([0, 1], [right, half])
    >>> float(metric.result())  # (1/2) / (1/2); the first makes no error
    1.0
    """

    def __init__(self, num_members, name="diversity", **kwargs):
        super().__init__(name=name, **kwargs)
        if num_members < 2:
            raise ValueError(
                "`num_members` must be at least 2: a single member has none "
                f"to differ from. Received: num_members={num_members}."
            )
        self.num_members = num_members
        self._errors = self.add_variable((num_members,), "zeros")
        self._disagreements = self.add_variable(
            (num_members, num_members), "zeros"
        )

    def update_state(self, y_true, y_pred):
        """Adds one batch.

        Args:
            y_true: Labels, integers of shape `(batch,)` or `(batch, 1)`, or
                one-hot `(batch, classes)`.
            y_pred: One tensor `(batch, classes)` a member.
        """
        classes = ops.stack([ops.argmax(each, axis=-1) for each in y_pred])
        labels = ops.convert_to_tensor(y_true)
        if _is_one_hot(labels, y_pred[0]):
            labels = ops.argmax(labels, axis=-1)
        labels = ops.cast(ops.reshape(labels, (-1,)), classes.dtype)
        self._errors.assign_add(self._count(ops.not_equal(classes, labels)))
        self._disagreements.assign_add(
            self._count(ops.not_equal(classes[:, None], classes[None]))
        )

    def _count(self, differ):
        return ops.sum(ops.cast(differ, self.dtype), axis=-1)

    def result(self):
        """A scalar; NaN where no member made an error."""
        errors = ops.convert_to_tensor(self._errors)
        disagreements = ops.convert_to_tensor(self._disagreements)
        # Nobody differs from oneself: the diagonal adds nothing to the sum.
        pairs = ops.cast(errors > 0, self.dtype) * (self.num_members - 1)
        ratios = disagreements / ops.where(errors > 0, errors, math.inf)
        return ops.sum(ratios) / ops.sum(pairs)

    def get_config(self):
        return {**super().get_config(), "num_members": self.num_members}


class MemberMetrics:
    """The loss and the compiled metrics of each member, and their diversity.

    Args:
        num_members: Number of members, at least 2.
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
        self.losses = []
        self.metrics = []
        for member in range(num_members):
            prefix = f"member_{member}_"
            self.losses.append(keras.metrics.Mean(name=f"{prefix}loss"))
            self.metrics.append([_copy(m, prefix) for m in metrics])
        self.diversity = Diversity(num_members)

    @property
    def all(self):
        """All metric objects, member by member, then the diversity."""
        of_members = [
            metric
            for loss, metrics in zip(self.losses, self.metrics, strict=True)
            for metric in (loss, *metrics)
        ]
        return [*of_members, self.diversity]

    def update(self, y, outputs, losses):
        """Adds one batch: outputs and losses are one a member.

        As in Keras, sample weights are for losses, not for `metrics`.
        """
        for index, output in enumerate(outputs):
            batch = ops.shape(output)[0]
            self.losses[index].update_state(losses[index], sample_weight=batch)
            for metric in self.metrics[index]:
                metric.update_state(y, output)
        self.diversity.update_state(y, outputs)


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
    if _is_one_hot(y_true, y_pred):
        return keras.metrics.categorical_accuracy(y_true, y_pred)
    return keras.metrics.sparse_categorical_accuracy(y_true, y_pred)


def _is_one_hot(y_true, y_pred):
    return len(y_true.shape) == 2 and y_true.shape[-1] == y_pred.shape[-1]
