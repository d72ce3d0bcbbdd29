"""Copies of members: without memory, with generated layers, or plain."""

import contextlib
import json

import keras
from keras.src.backend.common import global_state

from keras_superweights.layers import GeneratedKernel
from keras_superweights.layers import generate
from keras_superweights.layers import is_model
from keras_superweights.layers import pairs
from keras_superweights.layers import walk


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


@contextlib.contextmanager
def uncompiled(model):
    """How a model is compiled, or one inside of it, is not copied inside."""
    models = [
        layer
        for layer in model._flatten_layers()
        if getattr(layer, "compiled", False)
    ]
    for each in models:
        each.compiled = False
    try:
        yield
    finally:
        for each in models:
            each.compiled = True


def to_json(model) -> str:
    """The model's architecture as JSON text, with what is frozen in it."""
    with uncompiled(model):
        config = keras.saving.serialize_keras_object(model)
    return json.dumps({**config, "frozen": frozen_paths(model)})


def from_json(text) -> keras.Model:
    """A model with fresh weights from what `to_json` wrote."""
    config = json.loads(text)
    frozen = config.pop("frozen")
    model = keras.saving.deserialize_keras_object(config)
    freeze(model, frozen)
    return model


def frozen_paths(model) -> list[str]:
    """Paths of the layers that are not trainable; of the model itself, ""."""
    return [path for path, layer in _all(model) if not layer.trainable]


def freeze(model, paths):
    """Makes the layers at these paths not trainable, and all others so.

    Keras' configs forget it of layers that other layers make when they are
    built.
    """
    for path, layer in _all(model):
        # Setting it also sets it for all that is inside.
        if layer.trainable == (path in paths):
            layer.trainable = path not in paths


def _all(model):
    yield "", model
    yield from walk(model)


def generated_clones(models, generator) -> list[keras.Model]:
    """Clones of all members, whose shared kernels come from a generator."""
    sources = [{} for _ in models]
    allocation = generator.allocation
    for index, pieces in enumerate(allocation.composition):
        if pieces:
            kernel = allocation.kernels[index]
            of_layer = sources[kernel.member].setdefault(kernel.layer, {})
            of_layer[kernel.weight] = _Source(generator, index)
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
    """Clones a member, and makes kernels of its layers generated ones.

    Weights start anew, but for those of layers that are not trained: frozen
    ones, and such as `Normalization`, keep their values.

    Args:
        model: The member; its variables are not touched.
        sources: Dict from the path of a layer to a dict from the names of its
            kernels to functions that return them. All other weights are
            cloned as they are.
        keep_draws: Whether the clone's own weights start with the draws of
            the member's initializers, as if the member itself were trained.
    """
    of_layers = {
        id(layer): sources[path]
        for path, layer in walk(model)
        if path in sources
    }

    def clone(layer):
        copy = type(layer).from_config(_unbuilt(layer.get_config()))
        # Before the copy is built, so that no variable is made to be dropped.
        prepare(layer, copy)
        for _, inner, inner_copy in pairs(layer, copy):
            prepare(inner, inner_copy)
        return copy

    def prepare(layer, copy):
        if keep_draws:
            _copy_draws(layer, copy)
        if id(layer) in of_layers:
            generate(copy, of_layers[id(layer)])

    with uncompiled(model):
        copies = keras.models.clone_model(
            model, clone_function=clone, recursive=True
        )
    freeze(copies, frozen_paths(model))
    kept = kept_layers(model)
    for path, layer, copy in pairs(model, copies):
        if path in kept:
            copy_values(layer, copy)
        # Attention, for one, makes its layers when it is built.
        if path in sources and not isinstance(copy, GeneratedKernel):
            generate(copy, sources[path])
    return copies


def _unbuilt(config):
    """A config by which wrappers do not build the layers inside of them."""
    if isinstance(config, dict):
        return {
            key: _unbuilt(value)
            for key, value in config.items()
            if key != "build_config"
        }
    if isinstance(config, list):
        return list(map(_unbuilt, config))
    return config


def _copy_draws(layer, copy):
    for name, value in list(vars(layer).items()):
        if isinstance(value, keras.initializers.Initializer):
            setattr(copy, name, value)
        elif isinstance(value, keras.random.SeedGenerator):
            getattr(copy, name).state.assign(value.state)


def materialize(text, clone) -> keras.Model:
    """A plain Keras model that computes what a generated clone computes.

    Args:
        text: The member's architecture, from `to_json`.
        clone: Its generated clone. Called inside `generator.using`, kernels
            are not generated one by one.
    """
    model = from_json(text)
    for _, layer, own in pairs(model, clone):
        if isinstance(own, GeneratedKernel):
            own.copy_to(layer)
        elif not is_model(layer):
            copy_values(own, layer)
    return model


def copy_weights(model, clone):
    """Copies a model's weights, but for generated ones, to its clone."""
    for _, layer, own in pairs(model, clone):
        if isinstance(own, GeneratedKernel):
            own.copy_from(layer)
        elif not is_model(layer):
            copy_values(layer, own)


def copy_values(source, target):
    """Copies the values that a layer holds itself, not those inside of it."""
    # As saving and loading do: some layers derive more from their values.
    store = {}
    source.save_own_variables(store)
    target.load_own_variables(store)


def kept_layers(model) -> list[str]:
    """Paths of the layers whose weights are not trained, and so are kept.

    They are frozen, or adapted to data; the statistics of batch normalization
    are neither.
    """
    trained = {id(variable) for variable in model.trainable_variables}

    def is_kept(layer):
        normalizes = isinstance(layer, keras.layers.BatchNormalization)
        return (
            bool(layer.weights)
            and trained.isdisjoint(map(id, layer.weights))
            and not (normalizes and layer.trainable)
        )

    return [
        path
        for path, layer in walk(model)
        if not is_model(layer) and is_kept(layer)
    ]
