"""The shareable layers of Keras, registered like those of a user.

The layers of attention are `EinsumDense`; `LSTM` and `GRU` hold cells. A
`ReversibleEmbedding` reads one shared table twice: as a table and, transposed,
as the matrix of the logits. With `tie_weights=False` that matrix is a weight of
its own and stays private, as a head does.
"""

import math

from keras import layers

from keras_superweights.layers.registry import register

CONVOLUTION = {"kernel": "conv"}
DEPTHWISE = {"kernel": "depthwise"}
SEPARABLE = {"depthwise_kernel": "depthwise", "pointwise_kernel": "conv"}
CELL = {"kernel": "dense", "recurrent_kernel": "recurrent"}
EMBEDDING = {"embeddings": "embedding"}
WEIGHTS = {
    layers.Conv1D: CONVOLUTION,
    layers.Conv2D: CONVOLUTION,
    layers.Conv3D: CONVOLUTION,
    layers.Conv2DTranspose: {"kernel": "conv_transpose"},
    layers.DepthwiseConv1D: DEPTHWISE,
    layers.DepthwiseConv2D: DEPTHWISE,
    layers.SeparableConv1D: SEPARABLE,
    layers.SeparableConv2D: SEPARABLE,
    layers.Dense: {"kernel": "dense"},
    layers.Embedding: EMBEDDING,
    layers.ReversibleEmbedding: EMBEDDING,
    layers.LSTMCell: CELL,
    layers.GRUCell: CELL,
}


def _summed_axes(layer):
    """Counts the scalars that an einsum adds up in one output."""
    operands, output = layer.equation.split("->")
    axes = zip(operands.split(",")[1].strip(), layer.kernel.shape, strict=True)
    return math.prod(size for axis, size in axes if axis not in output)


for layer_class, weights in WEIGHTS.items():
    register(layer_class, weights)
register(layers.EinsumDense, {"kernel": "dense"}, _summed_axes)
