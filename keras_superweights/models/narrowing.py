"""Networks of other widths: the baselines that sharing is compared with."""

import math

from keras_superweights import layers
from keras_superweights.arguments import check_integer
from keras_superweights.arguments import check_type
from keras_superweights.arguments import is_integer
from keras_superweights.arguments import is_number
from keras_superweights.keras_internals import flat_layers
from keras_superweights.members import cloning
from keras_superweights.models.reshaping import check_reshapable
from keras_superweights.models.reshaping import reshaped
from keras_superweights.models.reshaping import sections

# What the configs of Keras' layers call a width.
_WIDTHS = {"filters", "units", "output_dim", "key_dim", "value_dim"}


def narrowed(model, factor):
    """Returns a network with fresh weights and `factor` of a model's width.

    The "reduced baseline" of Neural Parameter Allocation Search: what a budget
    buys without sharing. Scales every `filters`, `units`, `output_dim` (of
    embeddings), `key_dim` and `value_dim`, also of layers inside other layers
    and models, to the nearest integer, at least 1. The last layers before the
    outputs keep theirs; layers without a width, such as depthwise
    convolutions, follow their inputs. In a model with grouped convolutions or
    group normalization, widths that the numbers of groups divide stay
    multiples of them. No other number changes: not those of layers and of
    heads of attention, nor shapes that a `Reshape` or a model inside the model
    names, which are refused where they no longer fit.

    Args:
        model: A Functional or built Sequential model; its variables are not
            touched.
        factor: Positive number; above 1 the network is wider.

    Returns:
        A Functional model of the model's name.

    Raises:
        TypeError: If the model is no such model.
        ValueError: If the factor is not positive and finite; if no layer has
            a width to scale; if layers are frozen or adapted to data, whose
            values would be lost; or if a layer, which is named, does not take
            inputs of another width.

    Example:

    >>> model = wide_resnet(16, 2)
    >>> narrowed(model, 0.25).get_layer("stage3_block1_conv2").filters
    32

    References:
        - Plummer et al., Neural Parameter Allocation Search (ICLR 2022),
          section 4.2: https://arxiv.org/abs/2006.10598
    """
    check_reshapable(model, "narrowed")
    check_type("factor", factor, is_number(factor), "a number")
    if not 0 < factor < math.inf:
        raise ValueError(
            f"`factor` must be positive and finite. Received: factor={factor}."
        )
    return _scaled(model, factor)


def fitted(models, params):
    """Returns models as wide as they fit in a number of parameters together.

    All are narrowed, or widened, by the largest factor that fits, to a
    thousandth; see `narrowed`.

    Args:
        models: A model, or a list of models that share nothing.
        params: The most trainable scalars that they may have together, heads,
            biases and normalization included.

    Returns:
        A list of Functional models with fresh weights.

    Raises:
        TypeError, ValueError: As `narrowed` does; or if `params` is no
            positive integer, or too few for layers of a width of 1.

    Example:

    >>> (model,) = fitted(wide_resnet(16, 2), params=300_000)
    >>> sum(v.shape.num_elements() for v in model.trainable_variables)
    298802
    """
    models = list(models) if isinstance(models, (list, tuple)) else [models]
    factor = largest_factor(models, params)
    return [_scaled(model, factor) for model in models]


def largest_factor(models, params):
    """Returns the factor that `fitted` scales models by."""
    expected = "a Keras model, or a list of at least one"
    check_type("models", models, bool(models), expected)
    for model in models:
        check_reshapable(model, "narrowed")
    check_integer("params", params)
    # Equal models are scaled once.
    configs = [str(model.get_config()) for model in models]
    distinct = dict(zip(configs, models, strict=True))

    def size(factor):
        with cloning.without_memory():
            return sum(
                configs.count(config) * count([_scaled(model, factor)])
                for config, model in distinct.items()
            )

    low, high = 0.0, 1.0
    if size(low) > params:
        raise ValueError(
            f"`params` must be at least {size(low)}, what the models have at "
            f"their narrowest. Received: params={params}."
        )
    while size(high) <= params:
        low, high = high, 2 * high
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if size(middle) <= params else (low, middle)
    return low


def count(models):
    """Returns the trainable scalars of models that share nothing."""
    return sum(
        math.prod(variable.shape)
        for model in models
        for variable in model.trainable_variables
    )


def _scaled(model, factor):
    """Returns a clone whose widths are scaled; factor 0 is the narrowest."""
    last = layers.heads(model)
    groups = math.lcm(*map(_groups, flat_layers(model)))
    scaled = []

    def scale(layer, config):
        if not any(layer is head for head in last):
            scaled.extend(_scale(config, factor, groups))

    result = reshaped(model, scale, "narrowed")
    if not scaled:
        raise ValueError(
            "A model to be narrowed must have a layer with a width before its "
            f"last one. Received: '{model.name}'."
        )
    return result


def _groups(layer):
    """Returns how many groups a layer parts its channels into."""
    groups = getattr(layer, "groups", 1)
    # A depthwise convolution has as many as it has channels.
    return 1 if groups == getattr(layer, "filters", None) else groups


def _scale(config, factor, groups):
    """Scales the widths in a layer's config; returns the new ones."""
    widths = []
    for section in list(sections(config)):
        is_depthwise = section.get("groups") == section.get("filters")
        for key in _WIDTHS & section.keys():
            if is_integer(section[key]):
                step = 1 if section[key] % groups else groups
                width = step * max(1, round(factor * section[key] / step))
                section[key] = width
                widths.append(width)
        if is_depthwise and "groups" in section:
            section["groups"] = section["filters"]
    return widths
