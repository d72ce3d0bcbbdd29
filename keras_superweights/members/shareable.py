"""The kernels of a model: which can be generated, and why others cannot."""

import collections

import keras

from keras_superweights import layers
from keras_superweights.allocation.specs import UnsharedKernel
from keras_superweights.allocation.vectors import VECTOR_KINDS
from keras_superweights.keras_internals import trainable_weights_of

_NORMALIZATIONS = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.RMSNormalization,
)


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
        for path, layer, name, _, of_head, obstacle in _kernels(model)
        if not obstacle and not of_head
    ]


def head_kernels(model) -> list[tuple[str, keras.layers.Layer, str]]:
    """Finds the same of a model's heads, which rules share if told to."""
    return [
        (path, layer, name)
        for path, layer, name, _, of_head, obstacle in _kernels(model)
        if not obstacle and of_head
    ]


def vectors(model) -> list[tuple[str, str, keras.Variable, str]]:
    """Finds trained biases, and scales and offsets of normalizations.

    Returns:
        A tuple for each: the path of its layer, its own name, the variable,
        and its kind, as in `VectorSpec`.
    """
    found = {}  # a variable that several layers hold counts for the first
    trained = {id(variable) for variable in model.trainable_variables}
    for path, layer in layers.walk(model):
        names = {id(value): name for name, value in vars(layer).items()}
        is_normalization = isinstance(layer, _NORMALIZATIONS)
        for variable in trainable_weights_of(layer):
            kind = "normalization" if is_normalization else variable.name
            if id(variable) in trained and kind in VECTOR_KINDS:
                name = names[id(variable)]
                found.setdefault(id(variable), (path, name, variable, kind))
    return list(found.values())


def weights_of(models, specs) -> list[tuple[keras.layers.Layer, str]]:
    """Returns `(layer, name)` of the weights of models that specs describe.

    They are `KernelSpec`s or `VectorSpec`s of an allocation for these models.
    """
    inner = [dict(layers.walk(model)) for model in models]
    return [(inner[each.member][each.layer], each.weight) for each in specs]


def unshared_kernels(model) -> tuple[UnsharedKernel, ...]:
    """Finds the kernels of a model that no rule can share, in order of depth.

    These are all other trained weights of two axes or more, except heads.
    """
    return tuple(
        UnsharedKernel(path, name, tuple(variable.shape), obstacle)
        for path, _, name, variable, of_head, obstacle in _kernels(model)
        if obstacle and not of_head
    )


def _kernels(model):
    """Yields `(path, layer, name, variable, of_head, obstacle)` of each kernel.

    Kernels are trained weights of two axes or more. The obstacle says why one
    cannot be generated; it is empty if it can.
    """
    left = {id(variable) for variable in model.trainable_variables}
    in_heads = {id(w) for head in layers.heads(model) for w in head.weights}
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
                of_head = id(variable) in in_heads
                yield path, layer, name, variable, of_head, obstacle


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
