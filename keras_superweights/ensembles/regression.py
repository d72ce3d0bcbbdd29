"""Ensembles that predict values, or means and variances."""

import math

import keras
from keras import ops

from keras_superweights.ensembles.heads import last_activation
from keras_superweights.ensembles.kind import EnsembleKind
from keras_superweights.ensembles.tensors import stacked
from keras_superweights.ensembles.tensors import with_mask_of


@keras.saving.register_keras_serializable(package="keras_superweights")
class GaussianNLL(keras.losses.Loss):
    """Negative log-likelihood of values under normal distributions.

    For `k` values with means `mu` and variances `v`, the mean over values of

        (log(2 pi v) + (y - mu)^2 / v) / 2          (Lakshminarayanan, Eq. 1)

    Call arguments:
        y_true: Values `(..., k)`; the last axis may be missing if `k` is 1.
        y_pred: Means, then positive variances, `(..., 2k)`, as
            `Regression(variance=True)` answers them.

    Raises:
        ValueError: If the columns of `y_pred` are not twice those of `y_true`.

    Example:

    >>> loss = GaussianNLL()
    >>> float(loss([[1.0]], [[0.0, 1.0]]))  # (log(2 pi) + 1) / 2
    1.4189385

    References:
        - [Lakshminarayanan et al., 2017](https://arxiv.org/abs/1612.01474),
          section 2.2
    """

    def __init__(self, name="gaussian_nll", **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred):
        y_true, y_pred = map(ops.convert_to_tensor, (y_true, y_pred))
        if len(y_true.shape) == len(y_pred.shape) - 1:
            y_true = ops.expand_dims(y_true, -1)
        if (
            len(y_true.shape) != len(y_pred.shape)
            or y_pred.shape[-1] != 2 * y_true.shape[-1]
        ):
            raise ValueError(
                "`y_pred` must have a mean and a variance for each value of "
                f"`y_true`. Received: y_true of shape {y_true.shape} and "
                f"y_pred of shape {y_pred.shape}."
            )
        mean, variance = ops.split(y_pred, 2, axis=-1)
        squares = ops.square(y_true - mean) / variance
        log_variance = ops.log(2 * math.pi * variance)
        return ops.mean(log_variance + squares, axis=-1) / 2


@keras.saving.register_keras_serializable(package="keras_superweights")
class Ambiguity(keras.metrics.Mean):
    """Variance of the members' values, averaged over values and examples.

    The mean of `mean_m (mu_m - mu*)^2`, where `mu*` is the mean of the
    members. The mean squared error of `mu*` is the members' average error
    minus this: it is what averaging gains.

    Example:

    >>> metric = Ambiguity()
    >>> metric.update_state(None, [[[1.0]], [[3.0]]])
    >>> float(metric.result())
    1.0

    References:
        - Krogh and Vedelsby, Neural Network Ensembles, Cross Validation, and
          Active Learning, 1995, Eq. 6
    """

    def __init__(self, name="ambiguity", **kwargs):
        super().__init__(name=name, **kwargs)

    def update_state(self, y_true, y_pred):
        """Adds one batch of values, one tensor per member."""
        y_pred = [ops.convert_to_tensor(each) for each in y_pred]
        values = with_mask_of(y_pred, ops.var(stacked(y_pred), axis=0))
        return super().update_state(values)


@keras.saving.register_keras_serializable(package="keras_superweights")
class Regression(EnsembleKind):
    """An ensemble that averages its members' values.

    Members return `k` values, `(batch, ..., k)`, and the ensemble answers their
    mean. With `variance=True` members return `2k` columns, `k` means `mu_m` and
    `k` raw variances, with `v_m = softplus(raw) + 1e-6`. The ensemble is the
    mixture of their normal distributions and answers its means and variances,

        mu* = mean_m mu_m
        v*  = mean_m (v_m + mu_m^2) - mu*^2     (Lakshminarayanan, section 2.4)

    computed as `mean_m v_m + mean_m (mu_m - mu*)^2`, which is never negative.

    Losses: Keras' regression losses, such as `"mse"`, or with `variance=True`
    only `GaussianNLL`. Metrics see the mean alone, so `RootMeanSquaredError`
    and `R2Score` are correct. `ambiguity` is the variance of the members'
    means: see `Ambiguity`.

    Args:
        variance: Whether members also return raw variances. Defaults to
            `False`.
        split_batch: See `EnsembleKind`.

    Example:

    ```python
    network = ksw.SuperWeightNetwork(
        [mlp(2), mlp(2), mlp(2)],
        budget_params=0.4,
        ensemble=ksw.ensembles.Regression(variance=True),
    )
    network.compile(
        "adam",
        ksw.ensembles.GaussianNLL(),
        metrics=[keras.metrics.RootMeanSquaredError()],
    )
    mean, variance = np.split(network.predict(x), 2, axis=-1)
    ```

    References:
        - Lakshminarayanan et al., Simple and Scalable Predictive Uncertainty
          Estimation using Deep Ensembles, 2017
    """

    losses = {
        keras.losses.mean_squared_error: "Regression()",
        keras.losses.mean_absolute_error: "Regression()",
        keras.losses.mean_absolute_percentage_error: "Regression()",
        keras.losses.mean_squared_logarithmic_error: "Regression()",
        keras.losses.huber: "Regression()",
        keras.losses.log_cosh: "Regression()",
        keras.losses.poisson: "Regression()",
        keras.losses.cosine_similarity: "Regression()",
        GaussianNLL: "Regression(variance=True)",
    }

    def __init__(self, variance=False, split_batch=False):
        super().__init__(split_batch)
        if not isinstance(variance, bool):
            raise TypeError(
                f"`variance` must be a bool. Received: variance={variance!r}."
            )
        self.variance = variance

    def check_output(self, index, model):
        if not self.variance:
            return
        shape = model.outputs[0].shape
        layer, activation = last_activation(model)
        if len(shape) < 2 or shape[-1] is None or shape[-1] % 2:
            raise ValueError(
                f"Members of `ensemble={self}` must return means and as many "
                "raw variances, (batch, ..., 2 * values). Received for member "
                f"{index} ('{model.name}'): output shape {shape}. Give the "
                "last layer twice as many units as there are values."
            )
        if activation is not None:
            raise ValueError(
                f"Members of `ensemble={self}` must return raw variances, "
                "which the network makes positive. Received: member "
                f"{index} ('{model.name}') ends in '{layer.name}', which "
                "applies an activation. Leave it out."
            )

    def accepts(self, identity):
        return super().accepts(identity) and self.variance == (
            identity is GaussianNLL
        )

    def metric(self, metric):
        if metric in ("accuracy", "acc"):
            raise ValueError(
                f"`metrics` of `ensemble={self}` must compare values. "
                f"Received: {metric!r}, which compares classes. Pass "
                "`keras.metrics.RootMeanSquaredError()` or "
                "`keras.metrics.R2Score()`."
            )
        return metric

    def comparisons(self, num_members):
        return [Ambiguity()] if num_members > 1 else []

    def answer(self, output):
        if not self.variance:
            return output
        mean, raw = ops.split(stacked([output])[0], 2, axis=-1)
        return ops.concatenate([mean, ops.softplus(raw) + 1e-6], axis=-1)

    def combine(self, answers):
        values = stacked(answers)
        if not self.variance:
            return ops.mean(values, axis=0)
        means, variances = ops.split(values, 2, axis=-1)
        mean = ops.mean(means, axis=0)
        spread = ops.mean(ops.square(means - mean), axis=0)
        variance = ops.mean(variances, axis=0) + spread
        return ops.concatenate([mean, variance], axis=-1)

    def observed(self, answer):
        values = stacked([answer])[0]
        if self.variance:
            values, _ = ops.split(values, 2, axis=-1)
        return with_mask_of([answer], values)

    def get_config(self):
        return {"variance": self.variance, **super().get_config()}
