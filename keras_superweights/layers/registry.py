"""Which Keras layers can be generated, and how one of them becomes so."""

import keras

from keras_superweights.layers import convolutions
from keras_superweights.layers import dense
from keras_superweights.layers import embedding
from keras_superweights.layers import recurrent

# From the Keras class, which is the last base, to the generated one. What
# derives from a Keras class is not in here: it may use its kernel otherwise.
GENERATED = {
    generated.__bases__[-1]: generated
    for generated in (
        convolutions.GeneratedConv1D,
        convolutions.GeneratedConv2D,
        convolutions.GeneratedConv3D,
        convolutions.GeneratedConv2DTranspose,
        convolutions.GeneratedDepthwiseConv1D,
        convolutions.GeneratedDepthwiseConv2D,
        convolutions.GeneratedSeparableConv1D,
        convolutions.GeneratedSeparableConv2D,
        dense.GeneratedDense,
        dense.GeneratedEinsumDense,
        embedding.GeneratedEmbedding,
        recurrent.GeneratedLSTMCell,
        recurrent.GeneratedGRUCell,
    )
}


def generate(layer, sources):
    """Makes a Keras layer read kernels from functions, from now on.

    The layer stays the object that it is, wherever others hold it, and changes
    its class. Before it is built this spares the variables; a layer that is
    built gives them up.

    Args:
        layer: A layer of one of the classes in `GENERATED`.
        sources: Dict from the name of a kernel to a function without
            arguments that returns it. Kernels that are not named, if there are
            any, stay variables of the layer.

    Example:

    >>> layer = keras.layers.Dense(3)
    >>> generate(layer, {"kernel": lambda: keras.ops.ones((2, 3))})
    >>> layer(keras.ops.ones((1, 2))).shape, layer.count_params()
    (TensorShape([1, 3]), 3)
    """
    regularizers = {}
    for name in sources if layer.built else ():
        variable = getattr(layer, name)
        regularizers[name] = variable.regularizer
        _give_up(layer, variable)
    layer.__class__ = GENERATED[type(layer)]
    layer.generate_from(dict(sources), regularizers)


def _give_up(layer, variable):
    """Leaves nothing in a layer that keeps a variable alive."""
    (attribute,) = (name for name, v in vars(layer).items() if v is variable)
    layer._untrack_variable(variable)
    # Not by `del`, for which Keras collects all garbage every time.
    super(keras.layers.Layer, layer).__delattr__(attribute)
