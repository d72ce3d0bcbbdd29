"""Interpolation between two members: are they in different basins?"""

import keras
import numpy as np

from keras_superweights.arguments import check_integer
from keras_superweights.arguments import check_type
from keras_superweights.keras_internals import flat_layers
from keras_superweights.layers.generated import GeneratedKernel
from keras_superweights.metrics.classification import accuracy
from keras_superweights.metrics.classification import negative_log_likelihood
from keras_superweights.metrics.ensembles import ensemble_probabilities
from keras_superweights.metrics.predictions import member_predictor

# Keys in the config of a model whose values are names of layers.
_REFERENCES = ("input_layers", "output_layers", "keras_history")
# Endings of keys that do not change what a layer computes.
_NOT_ARCHITECTURE = ("name", "trainable", "seed", "initializer")


def interpolate_members(first, second, data, num_points=11):
    """Measures the models on the straight line between two members.

    At position `t` every weight is `(1 - t) * first + t * second`. If the
    accuracy dips in between, the members are in different basins; if it stays
    high, they are variants of one solution.

    Like in the paper, batch normalization uses the statistics of each batch,
    at both ends too, since the members' own statistics do not fit in between.
    The result therefore depends on the batches, which should be large and of
    equal size. All other layers run as in inference. The members are not
    changed.

    Args:
        first, second: `keras.Model`s of equal architecture that return logits
            `(batch, classes)`, as from `network.materialize()`.
        data: Batches `(inputs, labels)`, labels integer `(batch,)` or one-hot
            `(batch, classes)`. Read once per point, so not an iterator.
        num_points: Integer, at least 2, the number of evenly spaced points,
            both ends included. Defaults to 11.

    Returns:
        A list of `{"position", "accuracy", "nll"}`: two floats in [0, 1], where
        position 0 is the first member, and nats.

    Raises:
        TypeError: If a member is not a Functional or built Sequential model,
            or its kernels are generated.
        ValueError: If the architectures differ, there are fewer than two
            points, or a pass over the data is empty.

    Example:

    ```python
    first, second, *_ = network.materialize()
    points = ksw.metrics.interpolate_members(first, second, pipeline.test())
    figures.interpolation_curve(points).savefig("interpolation.png")
    ```

    References:
        - SWN, supplement, section 3.4 and figure 3
    """
    for argument, model in (("first", first), ("second", second)):
        _check_plain(argument, model)
    # The members themselves, and what is between.
    check_integer("num_points", num_points, least=2)
    if not same_architecture(first, second):
        received = ", ".join(
            f"'{model.name}' with {len(model.layers)} layers and "
            f"{model.count_params():,} parameters"
            for model in (first, second)
        )
        raise ValueError(
            "`first` and `second` must have the same architecture, layer by "
            f"layer: weights are paired in order. Received: {received}."
        )
    between = keras.models.clone_model(
        first, clone_function=_with_batch_statistics, recursive=True
    )
    predict = member_predictor(between)
    points = []
    for position in np.linspace(0.0, 1.0, num_points):
        for target, start, end in zip(
            between.weights, first.weights, second.weights, strict=True
        ):
            target.assign((1 - position) * start + position * end)
        logits, labels = predict(data, "data")
        if not logits:
            raise ValueError(
                "`data` must have batches in every pass, unlike an iterator, "
                "which ends after the first. Received: no example at "
                f"position {position:.2f}."
            )
        probabilities = ensemble_probabilities(logits)
        points.append(
            {
                "position": float(position),
                "accuracy": accuracy(probabilities, labels),
                "nll": negative_log_likelihood(probabilities, labels),
            }
        )
    return points


def same_architecture(first, second):
    """Returns whether two models are equal except for names and weights."""
    for argument, model in (("first", first), ("second", second)):
        is_model = isinstance(model, keras.Model)
        check_type(argument, model, is_model, "a `keras.Model`")
    return _architecture(first) == _architecture(second)


class _BatchStatistics(keras.layers.BatchNormalization):
    """Normalises by the statistics of the batch, in inference too."""

    def call(self, inputs, training=None, mask=None):
        return super().call(inputs, training=True, mask=mask)


def _with_batch_statistics(layer):
    config = layer.get_config()
    if isinstance(layer, keras.layers.BatchNormalization):
        # A frozen layer would use statistics, which the clone does not have.
        return _BatchStatistics.from_config({**config, "trainable": True})
    return type(layer).from_config(config)


def _check_plain(argument, model):
    is_model = isinstance(model, keras.Model)
    if not is_model or not getattr(model, "outputs", None):
        raise TypeError(
            f"`{argument}` must be a Functional or built Sequential "
            f"keras.Model. Received: {model!r} of type {type(model)}."
        )
    if any(isinstance(x, GeneratedKernel) for x in flat_layers(model)):
        raise TypeError(
            f"`{argument}` must be a plain model, but the kernels of "
            f"'{model.name}' come from banks. Pass two of "
            "`network.materialize()`."
        )


def _architecture(model):
    """Returns the config of a model without names, initializers and seeds."""
    layers = flat_layers(model)
    places = {layer.name: index for index, layer in enumerate(layers)}

    def anonymous(value, key=""):
        if isinstance(value, dict):
            return {
                inner: anonymous(content, inner)
                for inner, content in value.items()
                if not inner.endswith(_NOT_ARCHITECTURE)
            }
        if isinstance(value, (list, tuple)):
            return [anonymous(content, key) for content in value]
        return places.get(value, value) if key in _REFERENCES else value

    return type(model), anonymous(model.get_config())
