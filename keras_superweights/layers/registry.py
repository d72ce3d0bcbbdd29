"""Which layer classes can be shared, and how a layer becomes generated."""

import functools
import types
from collections.abc import Mapping

import keras

from keras_superweights.allocation.specs import KINDS
from keras_superweights.arguments import check_type
from keras_superweights.keras_internals import drop_weight
from keras_superweights.layers.generated import GeneratedKernel

# Maps each registered class to the class that generates its kernels.
GENERATED = {}

# KerasHub's layers with kernels of their own, by the name under which Keras
# saves them, so that KerasHub is never imported here.
_KERAS_HUB = {
    "keras_hub>PositionEmbedding": {"position_embeddings": "embedding"},
}

# What a subclass may override and still use its kernels in the same way.
_HARMLESS = {"__init__", "get_config", "from_config", "__dict__", "__weakref__"}


def register(layer_class, weights=None, fan_in=None):
    """Makes a layer class shareable.

    The kernels of its layers are then shared wherever they are in a model;
    Keras' own layers are registered in the same way. The layer must read its
    kernels as attributes at every call.

    A subclass of a registered class is shareable too, unless it or a class in
    between overrides more than `__init__`, `get_config` and `from_config`: then
    it may use its kernel in another way, and must be registered itself.

    Args:
        layer_class: A subclass of `keras.layers.Layer`.
        weights: Dict from the names of a built layer's kernels to their kinds:
            `"dense"`, `"conv"`, `"conv_transpose"`, `"depthwise"`,
            `"recurrent"` or `"embedding"`.
        fan_in: Optional function of a built layer that counts the scalars that
            feed one of its outputs; it scales the initial kernels. Defaults to
            the product of all axes of a kernel except its last.

    Returns:
        The class. Given only `weights`, a decorator.

    Raises:
        TypeError: If an argument has a wrong type.
        ValueError: If no weight or an unknown kind is given, or the class is
            registered with other weights. Weights that its layers lack are
            reported when a model with such a layer is shared.

    Example:

    ```python
    @keras.saving.register_keras_serializable("mine")
    @ksw.layers.register({"matrix": "dense"})
    class Linear(keras.layers.Layer):
        def build(self, shape):
            self.matrix = self.add_weight(shape=(shape[-1], 64))

        def call(self, inputs):
            return inputs @ self.matrix


    ksw.layers.register(Other, {"kernel": "conv"}, lambda layer: layer.taps)
    ```
    """
    if isinstance(layer_class, Mapping) and weights is None:
        return lambda decorated: register(decorated, layer_class, fan_in)
    _check(layer_class, weights, fan_in)
    known = GENERATED.get(layer_class)
    if known is not None and dict(known.kinds) != dict(weights):
        raise ValueError(
            f"`layer_class` {layer_class.__name__} is registered already, with "
            f"weights={dict(known.kinds)}. Received: weights={weights}. "
            "Register a subclass of it."
        )
    GENERATED[layer_class] = _generated(layer_class, weights, fan_in)
    _derived.cache_clear()
    return layer_class


def _check(layer_class, weights, fan_in):
    is_class = isinstance(layer_class, type)
    if (
        not is_class
        or not issubclass(layer_class, keras.layers.Layer)
        or issubclass(layer_class, (GeneratedKernel, keras.Model))
    ):
        raise TypeError(
            "`layer_class` must be a class of plain Keras layers; those of a "
            f"model are registered one by one. Received: {layer_class!r}."
        )
    if not isinstance(weights, Mapping):
        raise TypeError(
            "`weights` must be a dict from names of attributes to kinds, such "
            f'as `{{"kernel": "dense"}}`. Received: weights={weights!r}.'
        )
    names_are_text = all(isinstance(name, str) for name in weights)
    if not weights or not names_are_text or set(weights.values()) - set(KINDS):
        raise ValueError(
            "`weights` must have a name for each kernel, and for each name one "
            f"of the kinds {KINDS}. Received: weights={dict(weights)}."
        )
    if fan_in is not None and not callable(fan_in):
        raise TypeError(
            "`fan_in` must be a function of a built layer. Received: "
            f"fan_in={fan_in!r}."
        )


def _generated(layer_class, kinds, fan_in):
    return types.new_class(
        f"Generated{layer_class.__name__}",
        (GeneratedKernel, layer_class),
        {"kinds": dict(kinds), "fan_in": fan_in},
    )


def generated_class(layer_class):
    """Returns a layer class's subclass of `GeneratedKernel`, or `None`.

    `None` means that the class is not shareable; `why_not` has the reason.
    """
    _check_class(layer_class)
    name = keras.saving.get_registered_name(layer_class)
    if name in _KERAS_HUB and layer_class not in GENERATED:
        register(layer_class, _KERAS_HUB[name])
    return GENERATED.get(layer_class) or _derived(layer_class)


@functools.cache
def _derived(layer_class):
    """Returns the same for one that uses its kernels as a registered class."""
    parent, changed = _parent(layer_class)
    if parent is None or changed:
        return None
    known = GENERATED[parent]
    return _generated(layer_class, known.kinds, known.fan_in)


def why_not(layer_class) -> str:
    """Says why the layers of a class are not shareable, without a period."""
    _check_class(layer_class)
    name = layer_class.__name__
    parent, changed = _parent(layer_class)
    remedy = "`keras_superweights.layers.register` can make it so"
    if parent is None:
        return f"{name} is not a layer that can be shared ({remedy})"
    return (
        f"{name} derives from {parent.__name__} and overrides "
        f"{', '.join(f'`{each}`' for each in changed)}, so it may use its "
        f"kernel in another way ({remedy})"
    )


def _check_class(layer_class):
    is_class = isinstance(layer_class, type)
    check_type("layer_class", layer_class, is_class, "a class of layers")


def _parent(layer_class):
    """Returns the closest registered class, and what is overridden in it."""
    between = []
    for base in layer_class.__mro__:
        if base in GENERATED:
            known = {*dir(base), *GENERATED[base].kinds} - _HARMLESS
            changed = {
                name
                for each in between
                for name, value in vars(each).items()
                if name in known and hasattr(type(value), "__get__")
            }
            return base, sorted(changed)
        between.append(base)
    return None, []


def generate(layer, sources):
    """Makes a built layer read kernels from functions, in place.

    The layer stays the same object but changes its class, and frees the
    variables of these kernels.

    Args:
        layer: A built layer of a shareable class.
        sources: Dict from the name of a kernel to a function without
            arguments that returns it. Other kernels stay variables.

    Example:

    >>> layer = keras.layers.Dense(3)
    >>> layer.build((None, 2))
    >>> generate(layer, {"kernel": lambda: keras.ops.ones((2, 3))})
    >>> layer(keras.ops.ones((1, 2))).shape, layer.count_params()
    (TensorShape([1, 3]), 3)
    """
    regularizers = {}
    for name in sources:
        variable = getattr(layer, name)
        regularizers[name] = variable.regularizer
        drop_weight(layer, variable)
    layer.__class__ = generated_class(type(layer))
    layer.generate_from(dict(sources), regularizers)
