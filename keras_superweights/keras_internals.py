"""The private names of Keras that layers and members use."""

import collections
import contextlib
import io

import keras
from keras.src.backend.common import global_state
from keras.src.saving import saving_lib

_SCOPE = "stateless_scope"
_UNINITIALIZED = "uninitialized_variables"
_NAMES = "object_name_uids"


@contextlib.contextmanager
def without_memory():
    """Builds models with weights that have shapes but no values.

    Keras would initialize such variables when the next model is built, and has
    no public way to forget them. It also refuses variables that are made from a
    value, such as the learning rate of a model that compiles itself: these get
    their value at once.
    """
    before = list(global_state.get_global_attribute(_UNINITIALIZED, []))
    original = keras.Variable.__init__

    def initialize_values(variable, initializer, *args, **kwargs):
        scope = global_state.get_global_attribute(_SCOPE)
        if not (callable(initializer) or isinstance(initializer, str)):
            global_state.set_global_attribute(_SCOPE, None)
        try:
            original(variable, initializer, *args, **kwargs)
        finally:
            global_state.set_global_attribute(_SCOPE, scope)

    keras.Variable.__init__ = initialize_values
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        keras.Variable.__init__ = original
        global_state.set_global_attribute(_UNINITIALIZED, before)


@contextlib.contextmanager
def names_anew():
    """Counts names such as `conv2d_3` from the beginning, and goes on after.

    Keras counts all layers of a process: without it, the names inside a model
    depend on what was built before.
    """
    before = global_state.get_global_attribute(_NAMES)
    global_state.set_global_attribute(_NAMES, collections.defaultdict(int))
    try:
        yield
    finally:
        global_state.set_global_attribute(_NAMES, before)


def has_value(variable) -> bool:
    """Returns whether a variable was built with memory."""
    return variable._value is not None


def initialize(model):
    """Initializes a model that was built without memory."""
    for variable in model.variables:
        if not has_value(variable):
            variable._deferred_initialize()


def is_lookup(layer) -> bool:
    """Returns whether a layer looks inputs up in a vocabulary."""
    return isinstance(
        layer, (keras.layers.StringLookup, keras.layers.IntegerLookup)
    )


def flat_layers(model) -> list[keras.layers.Layer]:
    """Returns a model and all layers inside it, at any depth."""
    return model._flatten_layers()


def tracked_layers(layer) -> list[keras.layers.Layer]:
    """Returns the layers that a layer holds, in lists too."""
    return getattr(layer, "_layers", [])  # operations hold none


def trainable_weights_of(layer) -> list[keras.Variable]:
    """Returns the trainable weights of a layer itself, in order."""
    return layer._trainable_variables


def drop_weight(layer, variable):
    """Removes a weight from a built layer and frees its memory."""
    (attribute,) = (name for name, v in vars(layer).items() if v is variable)
    layer._untrack_variable(variable)
    # Not by `del`, after which Keras collects garbage every time.
    super(keras.layers.Layer, layer).__delattr__(attribute)


def replace_weight(layer, attribute, variable):
    """Makes a built layer hold another layer's trainable weight as its own."""
    own = getattr(layer, attribute)
    weights = layer._trainable_variables
    place = [id(each) for each in weights].index(id(own))
    layer._untrack_variable(own)
    layer._tracker.unlock()
    setattr(layer, attribute, variable)
    layer._tracker.lock()
    weights.insert(place, weights.pop())  # weights are saved in order


def origin(tensor):
    """Returns the layer call that made a symbolic tensor.

    Returns:
        A tuple: the layer; the node of the call, with `input_tensors`; the
        index of that node; the tensor's position among the call's outputs.
    """
    layer, index, position = tensor._keras_history
    return layer, layer._inbound_nodes[index], index, position


def saved_weights(model) -> memoryview:
    """Returns the content of the file that `model.save_weights` writes."""
    file = io.BytesIO()
    store = saving_lib.H5IOStore(file, mode="w")
    saving_lib._save_state(
        model,
        weights_store=store,
        assets_store=None,
        inner_path="",
        visited_saveables=set(),
    )
    store.close()
    return file.getbuffer()
