"""The networks that narrowing makes of the same number of parameters."""

import math

import keras

from keras_superweights.layers import heads
from keras_superweights.members.skeleton import skeletons


def narrowed(model, factor):
    """Returns a memoryless copy whose layers have `factor` of their width.

    Heads keep theirs. NPAS, section 4.2, calls it the reduced baseline.

    Args:
        model: A Functional model.
        factor: Ratio of filters and units; each layer keeps at least one.
    """
    last = {layer.name for layer in heads(model)}

    def narrow(layer):
        config = layer.get_config()
        for width in {"filters", "units"} & set(config):
            if layer.name not in last:
                config[width] = max(1, round(factor * config[width]))
        return type(layer).from_config(config)

    (narrow_model,) = skeletons(
        lambda: keras.models.clone_model(model, clone_function=narrow)
    )
    return narrow_model


def count(models):
    """Returns the trainable scalars of models that share nothing."""
    return sum(
        math.prod(variable.shape)
        for model in models
        for variable in model.trainable_variables
    )


def fitted(models, params, most=4.0):
    """Returns the models, as wide as they fit in `params` together.

    All are narrowed, or widened up to `most` times, by one factor.
    """
    low, high = 0.0, most
    while high - low > 1e-3:
        middle = (low + high) / 2
        fits = count([narrowed(m, middle) for m in models]) <= params
        low, high = (middle, high) if fits else (low, middle)
    return [narrowed(model, low) for model in models]
