"""The layers inside models, wrappers and layers, and the paths to them."""

import keras

_RECURRENT = (keras.layers.RNN, keras.layers.Bidirectional)


def is_model(layer) -> bool:
    """Whether a layer is a Functional or Sequential model."""
    return isinstance(layer, keras.Sequential) or bool(
        getattr(layer, "outputs", None)
    )


def pairs(one, other):
    """Yields `(path, layer, counterpart)` for all layers inside two models.

    A path is the names on the way to a layer, joined by "/": in a model, those
    of its layers; in any other layer, those of the attributes that hold
    layers, or positions where lists hold them. Layers come in the order of
    their model, each before those inside of it; inputs are left out. A layer
    that is reached in several ways comes once, under its first path. One that
    has no counterpart does not come.

    Args:
        one: A model, or any layer.
        other: One made from the same config.
    """
    yield from _pairs(one, other, "", True, set())


def walk(layer):
    """Yields `(path, layer)` for all layers inside a model or layer."""
    for path, inner, _ in pairs(layer, layer):
        yield path, inner


def _pairs(one, other, prefix, named, seen):
    # Keras' own layers save the models inside of them, with all names; other
    # layers may make new ones, with new names, whenever they are made.
    named = named and type(one).__module__.startswith("keras.")
    counterparts = _sublayers(other, named)
    for name, layer in _sublayers(one, named).items():
        if id(layer) in seen or name not in counterparts:
            continue
        seen.add(id(layer))
        path = f"{prefix}{name}"
        yield path, layer, counterparts[name]
        yield from _pairs(layer, counterparts[name], f"{path}/", named, seen)


def _sublayers(layer, named):
    if is_model(layer):
        layers = [
            inner
            for inner in layer.layers
            if not isinstance(inner, keras.layers.InputLayer)
        ]
        names = {id(inner): inner.name for inner in layers} if named else {}
    else:
        # All that Keras tracks, in lists too; operations hold no layers.
        layers = getattr(layer, "_layers", [])
        names = {
            id(value): attribute
            for attribute, value in vars(layer).items()
            if isinstance(value, keras.layers.Layer)
        }
    return {
        names.get(id(inner), str(position)): inner
        for position, inner in enumerate(layers)
    }


def heads(model) -> list[keras.layers.Layer]:
    """The last layers with weights before each output of a model.

    Where a model within the model comes last, they are looked for in there.
    A recurrent layer is no head: an encoder ends in one, and most of its
    weights are there.
    """
    found = {}
    seen = set()
    # With each tensor the calls of the models that it lies in.
    pending = [(tensor, ()) for tensor in model.outputs]
    while pending:
        tensor, calls = pending.pop()
        layer, place, position = tensor._keras_history
        key = (id(layer), place, position, tuple(map(id, calls)))
        if key in seen:
            continue
        seen.add(key)
        call = layer._inbound_nodes[place]
        if isinstance(layer, keras.layers.Layer) and is_model(layer):
            pending.append((layer.outputs[position], (*calls, call)))
        elif getattr(layer, "weights", []):
            if not isinstance(layer, _RECURRENT):
                found[id(layer)] = layer
        elif call.input_tensors:
            pending.extend((each, calls) for each in call.input_tensors)
        elif calls:  # an input of a model within the model
            pending.extend((t, calls[:-1]) for t in calls[-1].input_tensors)
    return list(found.values())
