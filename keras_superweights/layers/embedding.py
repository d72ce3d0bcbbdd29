"""Embedding whose table is generated: see `GeneratedKernel`."""

import keras

from keras_superweights.layers.generated import GeneratedKernel


class GeneratedEmbedding(
    GeneratedKernel, keras.layers.Embedding, kinds={"embeddings": "embedding"}
):
    """Embedding."""
