"""Which layer classes can be shared, and how a layer becomes generated."""

import types
from collections.abc import Mapping

import keras

from keras_superweights.allocation.specs import KINDS
from keras_superweights.keras_internals import drop_weight
from keras_superweights.layers.generated import GeneratedKernel
from keras_superweights.layers.keras_hub import KERAS_HUB

# Maps each registered class to the class that generates its kernels.
GENERATED = {}

# The same for subclasses that use their kernels as a registered class does.
_DERIVED = {}

# What a subclass may define anew and still use its kernels in the same way.
_HARMLESS = {"__init__", "get_config", "from_config", "__dict__", "__weakref__"}


def register(layer_class, weights=None, fan_in=None):
    """Makes a layer class shareable.

    From then on the kernels of its layers are shared wherever they are in a
    model, as those of Keras' own layers are: these are registered in the same
    way. The kernels must be read as attributes of the layer at every call.

    A subclass of a registered class is shareable too, if neither it nor a
    class in between defines anew what the registered class has, other than
    `__init__`, `get_config` and `from_config`. One that overrides `call` or
    `build` may use its kernel in another way, and needs a call of its own.

    Args:
        layer_class: A subclass of `keras.layers.Layer`.
        weights: Dict from the attributes that hold the kernels of a built
            layer to what the layer does with each: `"dense"`, `"conv"`,
            `"conv_transpose"`, `"depthwise"`, `"recurrent"` or `"embedding"`.
        fan_in: Optional function of a built layer that counts the scalars that
            feed one of its outputs, by which shared kernels are scaled at the
            start. By default all axes of a kernel but its last.

    Returns:
        The class. Given only `weights`, a decorator.

    Raises:
        TypeError: If an argument is of another kind.
        ValueError: If no weight or an unknown kind is given, or the class is
            registered with other weights. Whether its layers have such
            weights is seen when a model with one is shared.

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
    _DERIVED.clear()
    return layer_class


def _check(layer_class, weights, fan_in):
    is_class = isinstance(layer_class, type)
    if not is_class or not issubclass(layer_class, keras.layers.Layer):
        raise TypeError(
            "`layer_class` must be a class of Keras layers. Received: "
            f"layer_class={layer_class!r}."
        )
    if issubclass(layer_class, (GeneratedKernel, keras.Model)):
        raise TypeError(
            "`layer_class` must be a plain layer class; the layers of a model "
            "are registered one by one. Received: "
            f"layer_class={layer_class.__name__}."
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
    attributes = {} if fan_in is None else {"fan_in": staticmethod(fan_in)}
    return types.new_class(
        f"Generated{layer_class.__name__}",
        (GeneratedKernel, layer_class),
        {"kinds": dict(kinds)},
        lambda namespace: namespace.update(attributes),
    )


def generated_class(layer_class):
    """Returns the class that generates the kernels of a layer class.

    Returns:
        A subclass of both it and `GeneratedKernel`; `None` if the class is not
        shareable, for which `why_not` has the reason.
    """
    name = keras.saving.get_registered_name(layer_class)
    if name in KERAS_HUB and layer_class not in GENERATED:
        register(layer_class, KERAS_HUB[name])
    if layer_class in GENERATED:
        return GENERATED[layer_class]
    if layer_class not in _DERIVED:
        parent, changed = _parent(layer_class)
        if parent is None or changed:
            return None
        known = GENERATED[parent]
        _DERIVED[layer_class] = _generated(
            layer_class, known.kinds, known.fan_in
        )
    return _DERIVED[layer_class]


def why_not(layer_class) -> str:
    """Says why the layers of a class are not shareable, without a period."""
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


def _parent(layer_class):
    """Returns the closest registered class, and what overrides parts of it."""
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
    """Makes a built layer read kernels from functions, from now on.

    The layer stays the object that it is, wherever others hold it, changes
    its class, and gives up the variables.

    Args:
        layer: A built layer of a shareable class.
        sources: Dict from the name of a kernel to a function without
            arguments that returns it. Kernels that are not named stay
            variables of the layer.

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
