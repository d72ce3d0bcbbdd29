"""The layers inside models, wrappers and layers, and the paths to them."""

import keras

from keras_superweights.arguments import check_type
from keras_superweights.keras_internals import origin
from keras_superweights.keras_internals import tracked_layers
from keras_superweights.keras_internals import trainable_weights_of

_ENCODERS = (
    keras.layers.RNN,
    keras.layers.Bidirectional,
    keras.layers.ReversibleEmbedding,
)


def is_model(layer) -> bool:
    """Returns whether a layer is a Functional or Sequential model."""
    return isinstance(layer, keras.Sequential) or bool(
        getattr(layer, "outputs", None)
    )


def pairs(one, other):
    """Yields `(path, layer, counterpart)` for all layers inside two models.

    A path joins by "/" the names of a model's layers, the names of attributes
    that hold other layers' layers, and positions in lists. Layers come in the
    order of their model, outer before inner ones, and each once, under its
    first path. Inputs and layers without a counterpart are left out.

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
    # Keras' own layers save the names of models inside them; other layers may
    # make models with new names.
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
        inputs = keras.layers.InputLayer
        layers = [each for each in layer.layers if not isinstance(each, inputs)]
        names = {id(inner): inner.name for inner in layers} if named else {}
    else:
        layers = tracked_layers(layer)
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
    """Returns the last layers with weights before each output of a model.

    If a model within the model comes last, they are inside it. Recurrent
    layers and layers made of several, such as the blocks of a transformer, are
    not heads: encoders end in them. Nor is the `ReversibleEmbedding` of a
    language model, whose logits use the table that looks words up.
    """
    has_outputs = isinstance(model, keras.Model) and hasattr(model, "outputs")
    check_type("model", model, has_outputs, "a Functional or Sequential model")
    found = {}
    seen = set()
    # Each tensor, with the calls of the models that it is inside.
    pending = [(tensor, ()) for tensor in model.outputs]
    while pending:
        tensor, calls = pending.pop()
        layer, call, index, position = origin(tensor)
        key = (id(layer), index, position, tuple(map(id, calls)))
        if key in seen:
            continue
        seen.add(key)
        if isinstance(layer, keras.layers.Layer) and is_model(layer):
            pending.append((layer.outputs[position], (*calls, call)))
        elif getattr(layer, "weights", []):
            if not _is_encoder(layer):
                found[id(layer)] = layer
        elif call.input_tensors:
            pending.extend((each, calls) for each in call.input_tensors)
        elif calls:  # an input of a model within the model
            pending.extend((t, calls[:-1]) for t in calls[-1].input_tensors)
    return list(found.values())


def _is_encoder(layer):
    if isinstance(layer, _ENCODERS):
        return True
    # A wrapper may hold the kernel of its layer: it counts once.
    found = set()
    num_layers = 0
    for each in (layer, *(inner for _, inner in walk(layer))):
        own = trainable_weights_of(each)
        new = {id(weight) for weight in own if len(weight.shape) > 1} - found
        found |= new
        num_layers += bool(new)
    return num_layers > 1
