"""The kernels of a model: which can be generated, and why others cannot."""

import collections
from typing import NamedTuple

import keras

from keras_superweights.allocation.specs import UnsharedKernel
from keras_superweights.keras_internals import trainable_weights_of
from keras_superweights.layers import generated_class
from keras_superweights.layers import heads
from keras_superweights.layers import walk
from keras_superweights.layers import why_not


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
    """Finds the kernels of a model that may be generated, in order of depth.

    These are the kernels of all layers whose class is registered (see
    `keras_superweights.layers.register`), wherever in the model they are: in
    models inside of it, in wrappers, in layers of the user's own. Every member
    keeps to itself its heads, what is frozen, kernels with a constraint, and
    kernels that another layer holds as well (`SpectralNormalization` assigns
    to that of its layer).

    Returns:
        For each kernel the path of its layer, the layer, and its own name.

    Raises:
        ValueError: If a layer has not the weights that its class was
            registered with.
    """
    return [
        (kernel.path, kernel.layer, kernel.weight)
        for kernel in _kernels(model)
        if not kernel.obstacle
    ]


def unshared_kernels(model) -> tuple[UnsharedKernel, ...]:
    """Finds the kernels of a model that no rule can share, in order of depth.

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
        for variable in trainable_weights_of(layer):
            holders[id(variable)].append(path)
    kernels = []
    for path, layer in layers.items():
        for weight, variable in _candidates(path, layer):
            # Of a variable that several layers hold, the first.
            if id(variable) in left and len(variable.shape) > 1:
                left.remove(id(variable))
                obstacle = _obstacle(layer, variable, holders[id(variable)])
                kernels.append(_Kernel(path, layer, weight, variable, obstacle))
    return kernels


def _candidates(path, layer):
    """Lists names and variables that may be kernels; biases may have 2 axes."""
    generated = generated_class(type(layer))
    if generated is None:
        return [
            (variable.name, variable)
            for variable in trainable_weights_of(layer)
            if variable.name != "bias"
        ]
    if not layer.built:  # inside of its model, but never called
        return []
    for name in generated.kinds:
        weight = getattr(layer, name, None)
        if len(getattr(weight, "shape", ())) < 2:
            found = "no such weight" if weight is None else f"{weight!r}"
            raise ValueError(
                f"{type(layer).__name__} is registered as a layer with a "
                f"kernel '{name}', which must be a weight of two axes or more "
                f"once it is built. Received: layer '{path}' has {found}. "
                "Give `keras_superweights.layers.register` the names of the "
                "attributes that hold its kernels."
            )
    return [(name, getattr(layer, name)) for name in generated.kinds]


def _obstacle(layer, variable, holders) -> str:
    if len(holders) > 1:
        return f"{' and '.join(map(repr, holders))} both hold it"
    if generated_class(type(layer)) is None:
        return why_not(type(layer))
    if variable.constraint is not None:
        return (
            f"its constraint, {type(variable.constraint).__name__}, is not one "
            "of a mixture"
        )
    return ""
