"""The FLOPs of one forward pass, counted from the layers of a model."""

import itertools
import math
import warnings

import keras

_CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
_TRANSPOSED = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
_SEPARABLE = (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)
# Their matrices are not multiplied: a lookup table, and slopes.
_WITHOUT_KERNELS = (keras.layers.Embedding, keras.layers.PReLU)


def count_flops(model):
    """Counts the floating-point operations of one example's forward pass.

    Counts the products of inputs and kernels, with multiplication and addition
    as one operation each: twice the "multiply-adds" of many papers. With `p`
    the number of output positions (pixels, frames, ...):

    - convolutions: `2 * p * window * in / groups * out`;
    - transposed convolutions: `2 * q * window * in * out`, with `q` the
      number of input positions;
    - depthwise: `2 * p * window * in * multiplier`; separable: that, plus
      `2 * p * in * multiplier * out`;
    - dense: `2 * p * in * out`.

    Padding counts like any other input. Biases and operations without kernels
    (normalization, activations, pooling, additions) are not counted. A layer
    that is called twice counts twice. Subclasses count like their bases, so a
    generated layer costs as much as the layer it replaces.

    Only reads shapes, never the value of a variable: a model built inside
    `keras.StatelessScope(initialize_variables=False)` works too.

    Args:
        model: Functional or built Sequential model, possibly with such models
            inside. All sizes except the batch must be known.

    Returns:
        An integer, the FLOPs for one example.

    Raises:
        TypeError: If `model`, or a model inside it, is neither Functional nor
            Sequential.
        ValueError: If a Sequential model is not built, or a size is unknown.

    Warns:
        UserWarning: If a layer of another kind has trainable matrices (an
            LSTM, for example), whose operations are not counted.

    Example:

    >>> inputs = keras.Input((8, 8, 3))
    >>> x = keras.layers.Conv2D(4, 3, padding="same")(inputs)  # 2*64*9*3*4
    >>> outputs = keras.layers.Dense(10)(keras.layers.Flatten()(x))  # 2*256*10
    >>> count_flops(keras.Model(inputs, outputs))
    18944
    """
    return sum(_node_flops(node) for node in _nodes(model))


def _nodes(model):
    """Returns all calls of operations in a model."""
    graph = model
    if isinstance(model, keras.Sequential):
        graph = model._functional
        if graph is None:
            raise ValueError(
                f"The Sequential model '{model.name}' is not built, so its "
                "shapes are unknown. Begin it with a `keras.Input`."
            )
    # Keras has no public name for the graph. `layers` does not say how often,
    # and on which shapes, a layer is called.
    if not hasattr(graph, "_nodes_by_depth"):
        raise TypeError(
            "`model` must be a Functional or Sequential keras.Model. "
            f"Received: {model!r} of type {type(model)}."
        )
    return itertools.chain.from_iterable(graph._nodes_by_depth.values())


def _node_flops(node):
    layer = node.operation
    if isinstance(layer, keras.Model):
        return count_flops(layer)
    if isinstance(layer, keras.layers.Dense):
        inputs = node.input_tensors[0].shape
        return 2 * _product(inputs[1:], layer) * layer.units
    of_input = isinstance(layer, _TRANSPOSED)
    if isinstance(layer, _CONVOLUTIONS) or of_input:
        channels, positions = _channels_and_positions(node, of_input)
        groups = 1 if of_input else layer.groups
        weights = channels // groups * layer.filters
        return 2 * positions * math.prod(layer.kernel_size) * weights
    if isinstance(layer, _DEPTHWISE + _SEPARABLE):
        channels, positions = _channels_and_positions(node)
        intermediate = channels * layer.depth_multiplier
        weights = math.prod(layer.kernel_size) * intermediate
        if isinstance(layer, _SEPARABLE):
            weights += intermediate * layer.filters
        return 2 * positions * weights
    is_layer = isinstance(layer, keras.Layer)
    weights = layer.trainable_variables if is_layer else []
    is_matrix = any(len(variable.shape) >= 2 for variable in weights)
    if is_matrix and not isinstance(layer, _WITHOUT_KERNELS):
        warnings.warn(
            f"FLOPs of layer '{layer.name}' ({type(layer).__name__}) are not "
            "counted: only convolutions and dense layers are.",
            stacklevel=2,
        )
    return 0


def _channels_and_positions(node, of_input=False):
    """Returns the input channels and the positions of output or input."""
    layer = node.operation
    inputs, outputs = node.input_tensors[0].shape, node.outputs[0].shape
    positions = inputs if of_input else outputs
    if layer.data_format == "channels_first":
        channels, positions = inputs[1], positions[2:]
    else:
        channels, positions = inputs[-1], positions[1:-1]
    return channels, _product(positions, layer)


def _product(sizes, layer):
    if None in sizes:
        raise ValueError(
            f"The model must have known sizes, but layer '{layer.name}' has "
            f"{tuple(sizes)}. Build the model with a full input shape."
        )
    return math.prod(sizes)
