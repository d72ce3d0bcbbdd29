"""Disagreement between members, as a Keras metric."""

import math

import keras
from keras import ops

from keras_superweights.ensembles.tensors import common_mask


@keras.saving.register_keras_serializable(package="keras_superweights")
class Diversity(keras.metrics.Metric):
    """Disagreement between members, relative to their error.

    That of `keras_superweights.metrics.diversity` (SWN, section 3.4), computed
    from sums over batches, which add up over replicas. Each pixel or token is
    an example, unless it is masked or its label is not a class, as with a
    loss's `ignore_class`.

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
                "`num_members` must be at least 2: a single member cannot "
                f"disagree. Received: num_members={num_members}."
            )
        self.num_members = num_members
        self._errors = self.add_variable((num_members,), "zeros")
        self._disagreements = self.add_variable(
            (num_members, num_members), "zeros"
        )

    def update_state(self, y_true, y_pred):
        """Adds one batch.

        Args:
            y_true: Labels, integers of shape `(batch, ...)` or
                `(batch, ..., 1)`, or one-hot `(batch, ..., classes)`.
            y_pred: One tensor `(batch, ..., classes)` per member.
        """
        labels, found, counts = self.decisions(y_true, y_pred)
        self._errors.assign_add(
            self._count(ops.not_equal(found, labels), counts)
        )
        self._disagreements.assign_add(
            self._count(ops.not_equal(found[:, None], found[None]), counts)
        )

    def decisions(self, y_true, y_pred):
        """Returns labels, the members' decisions, and which examples count.

        Their shapes: `(examples,)`, `(members, examples)` and `(examples,)`.
        """
        y_pred = [ops.convert_to_tensor(each) for each in y_pred]
        num_classes = y_pred[0].shape[-1]
        found = ops.stack(
            [ops.reshape(ops.argmax(each, axis=-1), (-1,)) for each in y_pred]
        )
        labels = ops.convert_to_tensor(y_true)
        if is_one_hot(labels, y_pred[0]):
            labels = ops.argmax(labels, axis=-1)
        labels = ops.cast(ops.reshape(labels, (-1,)), found.dtype)
        counts = ops.logical_and(labels >= 0, labels < num_classes)
        mask = common_mask(y_pred)
        if mask is not None:
            counts = ops.logical_and(counts, ops.reshape(mask, (-1,)))
        return labels, found, counts

    def _count(self, differ, counts):
        differ = ops.logical_and(differ, counts)
        return ops.sum(ops.cast(differ, self.dtype), axis=-1)

    def result(self):
        """Returns a scalar: NaN if no member made an error."""
        errors = ops.convert_to_tensor(self._errors)
        disagreements = ops.convert_to_tensor(self._disagreements)
        # The diagonal of the disagreements is zero.
        pairs = ops.cast(errors > 0, self.dtype) * (self.num_members - 1)
        ratios = disagreements / ops.where(errors > 0, errors, math.inf)
        return ops.sum(ratios) / ops.sum(pairs)

    def get_config(self):
        return {**super().get_config(), "num_members": self.num_members}


def is_one_hot(y_true, y_pred):
    """Returns whether labels have a column per class, as predictions do."""
    return (
        len(y_true.shape) == len(y_pred.shape)
        and y_true.shape[-1] == y_pred.shape[-1]
    )
