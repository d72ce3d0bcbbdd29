"""Ensembles that classify examples, pixels or tokens."""

import math

import keras
from keras import ops

from keras_superweights.ensembles.diversity import Diversity
from keras_superweights.ensembles.kind import EnsembleKind
from keras_superweights.ensembles.losses import takes_logits
from keras_superweights.ensembles.tensors import stacked
from keras_superweights.ensembles.tensors import with_mask_of


@keras.saving.register_keras_serializable(package="keras_superweights")
class Classifier(EnsembleKind):
    """An ensemble that averages the class probabilities of its members.

    The default for several members. Members return logits, classes on the last
    axis: `(batch, classes)` for examples, `(batch, height, width, classes)`
    for pixels or `(batch, length, classes)` for tokens. The ensemble answers
    log-probabilities of the same shape,

        log(mean_m softmax(logits_m))                      (ME, section 3.2)

    so losses and metrics with `from_logits=True` are correct. The prediction
    keeps the mask of the members' outputs.

    Losses: `CategoricalCrossentropy`, `SparseCategoricalCrossentropy` and
    `CategoricalFocalCrossentropy` with `from_logits=True`. Metrics see
    log-probabilities, also of members. `diversity` measures how often members
    disagree: see `Diversity`.

    Args:
        split_batch: See `EnsembleKind`.

    Example:

    ```python
    network = ksw.SuperWeightNetwork([unet(8), unet(12)], budget_params=0.6)
    network.compile(
        "adam",
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy", keras.metrics.MeanIoU(3, sparse_y_pred=False)],
    )
    ```

    References:
        - MixtureEnsembles: Leveraging Parameter Sharing for Efficient
          Ensembles (ME)
    """

    losses = {
        keras.losses.categorical_crossentropy: "Classifier()",
        keras.losses.sparse_categorical_crossentropy: "Classifier()",
        keras.losses.categorical_focal_crossentropy: "Classifier()",
    }
    logits_loss = (
        "`keras.losses.SparseCategoricalCrossentropy(from_logits=True)`, or "
        "for one-hot labels "
        "`keras.losses.CategoricalCrossentropy(from_logits=True)`"
    )

    def check_output(self, index, model):
        shape = model.outputs[0].shape
        if len(shape) < 2 or shape[-1] is None or shape[-1] < 2:
            raise ValueError(
                "Members of `ensemble=Classifier()` must return logits of "
                "shape (batch, ..., classes) with two classes or more. "
                f"Received for member {index} ('{model.name}'): output shape "
                f"{shape}. If members answer values, pass "
                "`ensemble=keras_superweights.ensembles.Regression()`; if they "
                "answer one logit per label, pass "
                "`ensemble=keras_superweights.ensembles.MultiLabel()`."
            )

    def metric(self, metric):
        if metric not in ("accuracy", "acc") and _reads_probabilities(metric):
            raise ValueError(
                "`metrics` of `ensemble=Classifier()` must take logits: they "
                f"see log-probabilities. Received: {metric!r}, which has "
                "from_logits=False or thresholds of probabilities. Pass "
                "`from_logits=True` or leave out the threshold."
            )
        return metric

    def comparisons(self, num_members):
        return [Diversity(num_members)] if num_members > 1 else []

    def combine(self, answers):
        log_probabilities = ops.log_softmax(stacked(answers), axis=-1)
        log_sum = ops.logsumexp(log_probabilities, axis=0)
        return log_sum - math.log(len(answers))

    def observed(self, answer):
        log_probabilities = ops.log_softmax(stacked([answer])[0], axis=-1)
        # `F1Score` reads values near 0, such as the logarithm of a
        # probability of one, as a class that is not predicted.
        return with_mask_of([answer], ops.minimum(log_probabilities, -1e-8))


def _reads_probabilities(metric):
    metric = keras.metrics.get(metric)
    if not isinstance(metric, keras.metrics.Metric):
        return not takes_logits(metric)
    config = metric.get_config()
    if "from_logits" in config:
        return not config["from_logits"]
    has_thresholds = "thresholds" in config and config.get("top_k") is None
    return (
        has_thresholds
        or "num_thresholds" in config
        or config.get("threshold") is not None
    )
