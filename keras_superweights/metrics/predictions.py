"""Predictions of all members for all examples, in one pass."""

import collections.abc

import keras
import numpy as np
import tensorflow as tf

from keras_superweights.arguments import check_integer
from keras_superweights.arguments import check_type
from keras_superweights.optimizers.sampling import sampled_weights

_BATCHES = "of pairs (inputs, labels)"


def predict_members(network, batches):
    """Predicts a whole split with all members in one pass.

    Args:
        network: A `SuperWeightNetwork`. Any other `keras.Model` counts as an
            ensemble of one.
        batches: Batches `(inputs, labels)`, labels integer `(batch,)` or
            one-hot `(batch, classes)`.

    Returns:
        `(logits, labels)`: a list with one float array `(examples, classes)`
        per member, and an integer array `(examples,)`.

    Example:

    ```python
    logits, labels = ksw.metrics.predict_members(network, pipeline.test())
    report = ksw.metrics.evaluate_members(logits, labels, flops)
    ```
    """
    return member_predictor(network)(batches)


def predict_samples(network, batches, num_samples=16, seed=0):
    """Predicts as `predict_members`, by weights that IVON draws.

    Each member's answer is the logarithm of its mean probabilities over the
    samples; all members are sampled at once. Statistics of batch normalization
    are those of training.

    Args:
        network: A network trained by `keras_superweights.optimizers.IVON`.
        batches: As for `predict_members`; they are read `num_samples` times.
        num_samples: How many weights are drawn. Defaults to 16.
        seed: Integer that determines the draws: `sampled_weights` with it and
            those after it. Defaults to 0.

    Raises:
        ValueError: If the network was not trained by IVON, or the batches can
            be read only once.

    Example:

    ```python
    logits, labels = ksw.metrics.predict_samples(network, pipeline.test(), 32)
    report = ksw.metrics.evaluate_members(logits, labels, flops)
    ```
    """
    check_integer("num_samples", num_samples)
    if iter(batches) is batches:
        raise ValueError(
            "`batches` must give its batches again for every sample, as a "
            "dataset or a list does. Received: batches of type "
            f"{type(batches).__name__}."
        )
    predict = member_predictor(network)
    totals = -np.inf
    for index in range(num_samples):
        with sampled_weights(network, seed + index):
            logits, labels = predict(batches)
        logits = np.asarray(logits, "float64")
        logits -= np.logaddexp.reduce(logits, axis=-1, keepdims=True)
        totals = np.logaddexp(totals, logits)
    return list(totals - np.log(num_samples)), labels


def member_predictor(network):
    """Returns `predict_members` for one network, traced once for all splits.

    Uses XLA if the network was compiled with `jit_compile`.
    """

    is_model = isinstance(network, keras.Model)
    check_type("network", network, is_model, "a `keras.Model`")

    def single(inputs):
        return [network(inputs, training=False)]

    traced = tf.function(
        getattr(network, "member_outputs", single),
        autograph=False,  # as Keras' own functions
        reduce_retracing=True,
        jit_compile=network.jit_compile,
    )

    def predict(batches, argument="batches"):
        logits, labels = [], []
        is_iterable = isinstance(batches, collections.abc.Iterable)
        check_type(argument, batches, is_iterable, _BATCHES)
        for batch in batches:
            is_pair = isinstance(batch, (list, tuple)) and len(batch) == 2
            check_type(argument, batch, is_pair, _BATCHES)
            inputs, targets = batch
            logits.append([each.numpy() for each in traced(inputs)])
            targets = np.asarray(targets)
            labels.append(targets.argmax(1) if targets.ndim == 2 else targets)
        # Without any batch, there are no logits of any member either.
        labels = np.concatenate(labels) if labels else np.zeros(0, int)
        return list(map(np.concatenate, zip(*logits, strict=True))), labels

    return predict
