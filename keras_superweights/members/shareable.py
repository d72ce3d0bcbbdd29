"""The kernels of a model: which can be generated, and why others cannot."""

import collections

import keras

from keras_superweights import layers
from keras_superweights.allocation.specs import UnsharedKernel
from keras_superweights.keras_internals import trainable_weights_of


def shareable_kernels(model) -> list[tuple[str, keras.layers.Layer, str]]:
    """Finds the kernels of a model that may be generated, in order of depth.

    These are the kernels of all registered layers (see
    `keras_superweights.layers.register`), also in inner models, wrappers and
    the user's own layers. Heads, frozen layers, kernels with a constraint, and
    kernels that another layer holds as well stay private
    (`SpectralNormalization` assigns to its layer's kernel).

    Returns:
        A tuple per kernel: the path of its layer, the layer, its own name.
    """
    return [
        (path, layer, name)
        for path, layer, name, _, obstacle in _kernels(model)
        if not obstacle
    ]


def unshared_kernels(model) -> tuple[UnsharedKernel, ...]:
    """Finds the kernels of a model that no rule can share, in order of depth.

    These are all other trained weights of two axes or more, except heads.
    """
    return tuple(
        UnsharedKernel(path, name, tuple(variable.shape), obstacle)
        for path, _, name, variable, obstacle in _kernels(model)
        if obstacle
    )


def _kernels(model):
    """Yields `(path, layer, name, variable, obstacle)` of each kernel.

    Kernels are trained weights of two axes or more, outside of the heads. The
    obstacle says why one cannot be generated; it is empty if it can.
    """
    left = {id(variable) for variable in model.trainable_variables}
    for head in layers.heads(model):
        left -= set(map(id, head.weights))
    inner = dict(layers.walk(model))
    holders = collections.defaultdict(list)
    for path, layer in inner.items():
        for variable in trainable_weights_of(layer):
            holders[id(variable)].append(path)
    for path, layer in inner.items():
        for name, variable in _candidates(path, layer):
            # A variable that several layers hold counts for the first.
            if id(variable) in left and len(variable.shape) > 1:
                left.remove(id(variable))
                obstacle = _obstacle(layer, variable, holders[id(variable)])
                yield path, layer, name, variable, obstacle


def _candidates(path, layer):
    """Lists names and variables that may be kernels."""
    generated = layers.generated_class(type(layer))
    if generated is None:
        return [
            (variable.name, variable)
            for variable in trainable_weights_of(layer)
            if variable.name != "bias"  # which may have two axes
        ]
    if not layer.built:  # part of its model, but never called
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
    if layers.generated_class(type(layer)) is None:
        return layers.why_not(type(layer))
    if variable.constraint is not None:
        return (
            f"its constraint, {type(variable.constraint).__name__}, is not one "
            "of a mixture"
        )
    return ""
