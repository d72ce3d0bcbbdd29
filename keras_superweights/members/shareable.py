"""The kernels of a model: which can be generated, and why others cannot."""

import collections
from typing import NamedTuple

import keras

from keras_superweights.allocation.specs import UnsharedKernel
from keras_superweights.layers import GENERATED
from keras_superweights.layers import heads
from keras_superweights.layers import walk


class _Kernel(NamedTuple):
    """A trained weight of two axes or more, outside of the heads.

    Attributes:
        path: Path of its layer.
        layer: The first layer that holds it.
        weight: Its name there.
        variable: The weight.
        obstacle: Why it cannot be generated; empty if it can.
    """

    path: str
    layer: keras.layers.Layer
    weight: str
    variable: keras.Variable
    obstacle: str


def shareable_kernels(model) -> list[tuple[str, keras.layers.Layer, str]]:
    """The kernels of a model that may be generated, in order of depth.

    These are the kernels of all layers in
    `keras_superweights.layers.GENERATED`, wherever in the model they are: in
    models inside of it, in wrappers, in layers of the user's own. Every member
    keeps to itself its heads, what is frozen, kernels with a constraint, and
    kernels that another layer holds as well (`SpectralNormalization` assigns
    to that of its layer).

    Returns:
        For each kernel the path of its layer, the layer, and its own name.
    """
    return [
        (kernel.path, kernel.layer, kernel.weight)
        for kernel in _kernels(model)
        if not kernel.obstacle
    ]


def unshared_kernels(model) -> tuple[UnsharedKernel, ...]:
    """The kernels of a model that no rule can share, in order of depth.

    These are all other trained weights of two axes or more, whatever their
    layer does with them. What is private by intention is not among them:
    heads, and what is frozen.
    """
    return tuple(
        UnsharedKernel(
            layer=kernel.path,
            weight=kernel.weight,
            shape=tuple(kernel.variable.shape),
            reason=kernel.obstacle,
        )
        for kernel in _kernels(model)
        if kernel.obstacle
    )


def _kernels(model) -> list[_Kernel]:
    left = {id(variable) for variable in model.trainable_variables}
    for head in heads(model):
        left -= set(map(id, head.weights))
    layers = dict(walk(model))
    holders = collections.defaultdict(list)
    for path, layer in layers.items():
        for variable in layer._trainable_variables:
            holders[id(variable)].append(path)
    kernels = []
    for path, layer in layers.items():
        for weight, variable in _candidates(layer):
            # Of a variable that several layers hold, the first.
            if id(variable) in left and len(variable.shape) > 1:
                left.remove(id(variable))
                obstacle = _obstacle(layer, variable, holders[id(variable)])
                kernels.append(_Kernel(path, layer, weight, variable, obstacle))
    return kernels


def _candidates(layer):
    """Names and variables that may be kernels; biases may have two axes."""
    if type(layer) in GENERATED:
        names = GENERATED[type(layer)].kinds
        return [(name, getattr(layer, name, None)) for name in names]
    return [
        (variable.name, variable)
        for variable in layer._trainable_variables
        if variable.name != "bias"
    ]


def _obstacle(layer, variable, holders) -> str:
    name = type(layer).__name__
    if len(holders) > 1:
        return f"{' and '.join(map(repr, holders))} both hold it"
    if type(layer) not in GENERATED:
        for kind in GENERATED:
            if isinstance(layer, kind):
                return (
                    f"{name} derives from {kind.__name__}, and may use its "
                    "kernel in another way"
                )
        return f"{name} is not one of the layers that can be generated"
    if variable.constraint is not None:
        return (
            f"its constraint, {type(variable.constraint).__name__}, is not one "
            "of a mixture"
        )
    return ""
