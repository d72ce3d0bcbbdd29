"""The mixing by embeddings of kernels (NPAS, Emb)."""

from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from keras_superweights.allocation.part import Mixing
from keras_superweights.parts.weighted_sum import Tied
from keras_superweights.parts.weighted_sum import WeightedSumLayer

# NPAS, section 3.2: the size of a layer's embedding.
EMBEDDING_SIZE = 24


@dataclass(frozen=True)
class Embedded(Tied, Mixing):
    """Weights templates by the softmax of a projection of an embedding.

    Args:
        ties: For each kernel, the embedding that it uses, as a position among
            the kernels.
    """

    ties: tuple[int, ...]

    def num_scalars(self, num_kernels, num_templates):
        projection = (EMBEDDING_SIZE + 1) * num_templates
        return num_kernels * EMBEDDING_SIZE + projection

    def layer(self, norms, num_templates, **kwargs):
        return EmbeddedLayer(norms, num_templates, self.ties, **kwargs)


class EmbeddedLayer(WeightedSumLayer):
    """A weighted mean whose weights are computed from an embedding.

    Each kernel has a learned embedding of `EMBEDDING_SIZE` as coefficients;
    a projection, shared by the kernels that mix the same templates, and a
    softmax turn it into weights. A mean varies less than the templates do, so
    a constant scales it to the initial variance of the kernel.
    """

    def __init__(self, norms, num_templates, ties, **kwargs):
        keras.layers.Layer.__init__(self, **kwargs)
        self.add_rows([1.0] * len(norms), EMBEDDING_SIZE, ties)
        self.projection = self.add_weight(
            name="projection",
            shape=(EMBEDDING_SIZE, num_templates),
            initializer="glorot_uniform",
            autocast=False,
        )
        self.bias = self.add_weight(
            name="bias",
            shape=(num_templates,),
            initializer="zeros",
            autocast=False,
        )
        self._scales = np.reshape(norms, (-1, 1)) * num_templates**0.5
        self.built = True

    def matrix(self):
        embeddings = ops.convert_to_tensor(self.coefficients)
        logits = ops.matmul(embeddings, self.projection) + self.bias
        weights = self.used(ops.softmax(logits))
        return ops.convert_to_tensor(self._scales, weights.dtype) * weights

    def linear_variables(self):
        return []  # kernels are not linear in embeddings

    def fit(self, mixing, vectors, weights, rms):
        """Keeps the initial embeddings."""
