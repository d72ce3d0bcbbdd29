"""Ensembles for binary and multi-label classification."""

import keras
from keras import ops

from keras_superweights.ensembles.diversity import Diversity
from keras_superweights.ensembles.kind import EnsembleKind
from keras_superweights.ensembles.tensors import common_mask
from keras_superweights.ensembles.tensors import stacked
from keras_superweights.ensembles.tensors import with_mask_of


@keras.saving.register_keras_serializable(package="keras_superweights")
class MultiLabel(EnsembleKind):
    """An ensemble that averages the probability of each label separately.

    Members return one logit per label, `(batch, ..., labels)`, or `(batch, 1)`
    for binary classification. Labels are 0 or 1, of the same shape. The
    ensemble answers logits of the same shape,

        log(p) - log(1 - p)    with    p = mean_m sigmoid(logits_m)

    computed from log-sum-exps, so they are finite for any logits.

    Losses: `BinaryCrossentropy` and `BinaryFocalCrossentropy` with
    `from_logits=True`. Metrics see probabilities, so `BinaryAccuracy`,
    `Precision`, `Recall`, `AUC` and `F1Score(threshold=0.5)` are correct;
    `"accuracy"` is the fraction of labels that are right at 0.5. `diversity`
    measures how often members disagree on a label: see `Diversity`.

    Args:
        split_batch: See `EnsembleKind`.

    Example:

    ```python
    network = ksw.SuperWeightNetwork(
        members, budget_params=0.6, ensemble=ksw.ensembles.MultiLabel()
    )
    network.compile(
        "adam",
        keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=["accuracy", keras.metrics.AUC()],
    )
    probabilities = keras.ops.sigmoid(network.predict(images))
    ```
    """

    losses = {
        keras.losses.binary_crossentropy: "MultiLabel()",
        keras.losses.binary_focal_crossentropy: "MultiLabel()",
    }
    logits_loss = "`keras.losses.BinaryCrossentropy(from_logits=True)`"

    def metric(self, metric):
        if metric in ("accuracy", "acc"):
            return keras.metrics.BinaryAccuracy(name=metric)
        found = keras.metrics.get(metric)
        is_object = isinstance(found, keras.metrics.Metric)
        if is_object and found.get_config().get("from_logits"):
            raise ValueError(
                "`metrics` of `ensemble=MultiLabel()` must take "
                "probabilities, which is what they see. Received: "
                f"{metric!r}, which has from_logits=True. Leave it out."
            )
        return metric

    def comparisons(self, num_members):
        return [LabelDiversity(num_members)] if num_members > 1 else []

    def combine(self, answers):
        logits = stacked(answers)
        yes = ops.logsumexp(ops.log_sigmoid(logits), axis=0)
        no = ops.logsumexp(ops.log_sigmoid(-logits), axis=0)
        return yes - no

    def observed(self, answer):
        return with_mask_of([answer], ops.sigmoid(stacked([answer])[0]))


@keras.saving.register_keras_serializable(package="keras_superweights")
class LabelDiversity(Diversity):
    """Disagreement about labels: `Diversity` of `probability > 0.5`."""

    def decisions(self, y_true, y_pred):
        found = ops.stack([ops.reshape(each, (-1,)) > 0.5 for each in y_pred])
        labels = ops.reshape(ops.cast(y_true, self.dtype), (-1,)) > 0.5
        counts = ops.ones_like(labels)
        mask = common_mask(y_pred)
        if mask is not None:  # has one value per position
            mask = ops.broadcast_to(mask[..., None], ops.shape(y_pred[0]))
            counts = ops.reshape(mask, (-1,))
        return labels, found, counts
