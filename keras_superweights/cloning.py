"""Copies of members: without memory, with generated layers, or plain."""

import contextlib
import json

import keras
from keras.src.backend.common import global_state

from keras_superweights.layers import GENERATED


@contextlib.contextmanager
def without_memory():
    """Models built inside have every shape, and no variable has a value.

    Keras would initialize such variables at its next occasion, in whatever is
    built then; it has no public way to make it forget them.
    """
    key = "uninitialized_variables"
    before = list(global_state.get_global_attribute(key, []))
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        global_state.set_global_attribute(key, before)


def to_json(model) -> str:
    """The model's architecture as JSON text."""
    return json.dumps(keras.saving.serialize_keras_object(model))


def from_json(text) -> keras.Model:
    """A model with fresh weights from what `to_json` wrote."""
    return keras.saving.deserialize_keras_object(json.loads(text))


def generated_clones(models, generator) -> list[keras.Model]:
    """Clones of all members, whose shared kernels come from a generator."""
    sources = [{} for _ in models]
    allocation = generator.allocation
    for index, pieces in enumerate(allocation.pieces):
        if pieces:
            kernel = allocation.kernels[index]
            sources[kernel.member][kernel.layer] = _Source(generator, index)
    clones = []
    for index, model in enumerate(models):
        # The same model given twice must not start twice with one draw.
        repeated = any(model is other for other in models[:index])
        clones.append(
            generated_clone(model, sources[index], keep_draws=not repeated)
        )
    return clones


class _Source:
    """Where a generated layer finds its kernel.

    Not a Keras object: a layer that kept the generator itself would own all
    banks.
    """

    def __init__(self, generator, index):
        self.generator = generator
        self.index = index

    def __call__(self):
        return self.generator.kernel(self.index)


def generated_clone(model, sources, keep_draws) -> keras.Model:
    """Clones a member, replacing layers by ones whose kernel is generated.

    Weights start anew, but for those of layers that are not trained: frozen
    ones, and such as `Normalization`, keep their values.

    Args:
        model: The member; its variables are not touched.
        sources: Dict from the name of a layer to the function that returns
            its kernel. All other layers are cloned as they are.
        keep_draws: Whether the clone's own weights start with the draws of
            the member's initializers, as if the member itself were trained.
    """

    def clone(layer):
        if getattr(layer, "outputs", None):  # a model within the member
            return generated_clone(layer, {}, keep_draws)
        config = layer.get_config()
        if layer.name in sources:
            config["source"] = sources[layer.name]
            copy = GENERATED[type(layer)].from_config(config)
        else:
            copy = type(layer).from_config(config)
        if keep_draws:
            for name, value in list(vars(layer).items()):
                if isinstance(value, keras.initializers.Initializer):
                    setattr(copy, name, value)
                elif isinstance(value, keras.random.SeedGenerator):
                    getattr(copy, name).state.assign(value.state)
        return copy

    copies = keras.models.clone_model(model, clone_function=clone)
    for layer in model.layers:
        if keeps_values(layer):
            copy_values(layer, copies.get_layer(layer.name))
    return copies


def materialize(text, clone, kernels) -> keras.Model:
    """A plain Keras model that computes what a generated clone computes.

    Args:
        text: The member's architecture, from `to_json`.
        clone: Its generated clone, for the weights of its own.
        kernels: Dict from the name of a layer to its generated kernel.
    """
    model = from_json(text)
    for layer in model.layers:
        if not layer.weights:
            continue  # and the clone names unnamed inputs anew
        own = clone.get_layer(layer.name)
        if layer.name not in kernels:
            copy_values(own, layer)
            continue
        layer.kernel.assign(kernels[layer.name])
        others = [v for v in layer.weights if v is not layer.kernel]
        for target, value in zip(others, own.weights, strict=True):
            target.assign(value)
    return model


def copy_values(source, target):
    """Copies the values of a layer, or of a model within a member."""
    if getattr(source, "outputs", None):
        for layer in source.layers:
            if layer.weights:
                copy_values(layer, target.get_layer(layer.name))
        return
    for one, other in zip(
        source._flatten_layers(), target._flatten_layers(), strict=True
    ):
        # As saving and loading do: some layers derive more from their values.
        store = {}
        one.save_own_variables(store)
        other.load_own_variables(store)


def keeps_values(layer) -> bool:
    """Whether a layer's weights are not trained: frozen, or adapted to data."""
    normalizes = isinstance(layer, keras.layers.BatchNormalization)
    return (
        bool(layer.weights)
        and not layer.trainable_variables
        and not (normalizes and layer.trainable)
    )
