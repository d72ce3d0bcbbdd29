"""Copies of members: without memory, with generated layers, or plain."""

import contextlib
import functools
import json
import tempfile

import keras

from keras_superweights import layers
from keras_superweights.keras_internals import flat_layers
from keras_superweights.keras_internals import initialize
from keras_superweights.keras_internals import is_lookup
from keras_superweights.keras_internals import replace_weight
from keras_superweights.keras_internals import without_memory
from keras_superweights.members.shareable import weights_of


@contextlib.contextmanager
def complete_configs(model):
    """Writes vocabularies into layers' configs, and hides compile state.

    Keras saves what lookups have learned beside the config, which alone does
    not even determine the shapes of their outputs.
    """
    with contextlib.ExitStack() as stack:

        def change(layer, name, value):
            stack.callback(setattr, layer, name, getattr(layer, name))
            setattr(layer, name, value)

        for layer in flat_layers(model):
            if getattr(layer, "compiled", False):
                change(layer, "compiled", False)
            if not is_lookup(layer):
                continue
            tokens = layer.get_vocabulary(include_special_tokens=False)
            words = [t if isinstance(t, str) else int(t) for t in tokens]
            change(layer, "input_vocabulary", words)
            if layer.output_mode == "tf_idf":
                start = layer.vocabulary_size() - len(tokens)
                weights = layer.idf_weights_const.numpy()[start:]
                weights = weights[: len(tokens)].tolist()
                change(layer, "input_idf_weights", weights)
        yield


def to_json(model) -> str:
    """Writes a model's architecture and frozen layers as JSON text."""
    with complete_configs(model):
        config = keras.saving.serialize_keras_object(model)
    return json.dumps({**config, "frozen": frozen_paths(model)})


def from_json(text) -> keras.Model:
    """Makes a model with fresh weights from the text of `to_json`."""
    config = json.loads(text)
    frozen = config.pop("frozen")
    model = keras.saving.deserialize_keras_object(config)
    freeze(model, frozen)
    return model


def frozen_paths(model) -> list[str]:
    """Lists the paths of frozen layers; the path of the model itself is ""."""
    return [path for path, layer in _all(model) if not layer.trainable]


def freeze(model, paths):
    """Freezes the layers at these paths, and makes all others trainable.

    Keras' configs lose this for layers that other layers make in `build`.
    """
    for path, layer in _all(model):
        # The setter also reaches all inner layers.
        if layer.trainable == (path in paths):
            layer.trainable = path not in paths


def _all(model):
    yield "", model
    yield from layers.walk(model)


def generated_clones(models, generator) -> list[keras.Model]:
    """Clones all members, with shared kernels read from a generator.

    Common vectors are one variable, held by all layers that have them.
    """
    sources = [{} for _ in models]
    allocation = generator.allocation
    for index, superweights in enumerate(allocation.composition):
        if superweights:
            kernel = allocation.kernels[index]
            of_layer = sources[kernel.member].setdefault(kernel.layer, {})
            # Hides the generator: a layer that tracked it would own all banks.
            source = functools.partial(generator.kernel, index)
            of_layer[kernel.weight] = source
    # The same model given twice must not start twice with the same draws.
    clones = [
        generated_clone(
            model,
            sources[index],
            keep_draws=not any(model is other for other in models[:index]),
        )
        for index, model in enumerate(models)
    ]
    vectors = weights_of(clones, allocation.vectors)
    for group in allocation.common:
        first, *others = (vectors[index] for index in group)
        for layer, name in others:
            replace_weight(layer, name, getattr(*first))
    return clones


def generated_clone(model, sources, keep_draws) -> keras.Model:
    """Clones a member from its config, with generated kernels.

    Generated kernels take no memory. Other weights start anew, except in layers
    that are not trained: frozen and adapted layers keep their values, and
    lookups keep their vocabularies.

    Args:
        model: The member; its variables are not touched.
        sources: Dict from the path of a layer to a dict from the names of its
            kernels to functions that return them.
        keep_draws: Whether the clone's own weights start with the draws of
            the member's initializers, as if the member itself were trained.
    """
    with without_memory():
        clone = from_json(to_json(model))
    for each in flat_layers(clone):
        if getattr(each, "compiled", False):  # by its own constructor
            each.compiled = False
    for path, layer, copy in layers.pairs(model, clone):
        if keep_draws:
            _copy_draws(layer, copy)
        if path in sources:
            layers.generate(copy, sources[path])
    initialize(clone)
    kept = kept_layers(model)
    for path, layer, copy in layers.pairs(model, clone):
        if keep_draws:
            _copy_seeds(layer, copy)
        if path in kept:
            copy_values(layer, copy)
    copy_assets(model, clone)
    return clone


def _copy_draws(layer, copy):
    """Makes a copy's initializers draw the same values as the layer's."""
    for name, value in vars(layer).items():
        if isinstance(value, keras.initializers.Initializer):
            vars(getattr(copy, name)).update(vars(value))


def _copy_seeds(layer, copy):
    for name, value in vars(layer).items():
        if isinstance(value, keras.random.SeedGenerator):
            getattr(copy, name).state.assign(value.state)


def materialize(text, clone) -> keras.Model:
    """Makes a plain Keras model that computes what a generated clone does.

    Args:
        text: The member's architecture, from `to_json`.
        clone: Its generated clone. Inside `generator.using`, kernels are not
            generated one by one.
    """
    model = from_json(text)
    for _, layer, own in layers.pairs(model, clone):
        if isinstance(own, layers.GeneratedKernel):
            own.copy_to(layer)
        elif not layers.is_model(layer):
            copy_values(own, layer)
    copy_assets(clone, model)
    return model


def copy_weights(model, clone):
    """Copies all but the generated weights of a model to its clone."""
    for _, layer, own in layers.pairs(model, clone):
        if isinstance(own, layers.GeneratedKernel):
            own.copy_from(layer)
        elif not layers.is_model(layer):
            copy_values(layer, own)


def copy_values(source, target):
    """Copies the values that a layer itself holds, without inner layers."""
    # As saving and loading do: some layers derive state from their values.
    store = {}
    source.save_own_variables(store)
    target.load_own_variables(store)


def copy_assets(source, target):
    """Copies what layers save in files of their own, as tokenizers do."""
    for layer, copy in zip(_savers(source), _savers(target), strict=True):
        with tempfile.TemporaryDirectory() as directory:
            try:
                layer.save_assets(directory)
            except TypeError:  # a tokenizer while a network is loaded
                continue
            copy.load_assets(directory)


def _savers(model):
    # Not by `walk`, which a task's tokenizer is not part of. Lookups get their
    # vocabulary from `to_json`, also those of text vectorization.
    return [
        layer
        for layer in flat_layers(model)
        if hasattr(layer, "save_assets")
        and not any(map(is_lookup, flat_layers(layer)))
    ]


def kept_layers(model) -> list[str]:
    """Lists the paths of layers that are frozen or adapted to data."""
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
        for path, layer in layers.walk(model)
        if not layers.is_model(layer) and is_kept(layer)
    ]
