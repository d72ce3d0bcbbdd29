"""Keras' embeddings.

A `ReversibleEmbedding` is read twice, as a table and, transposed, as the matrix
of the logits. Both readings see the one shared table. With `tie_weights=False`
the matrix of the logits is a weight of its own and stays so, as a head does.
"""

import keras

from keras_superweights.layers.registry import register

register(keras.layers.Embedding, {"embeddings": "embedding"})
register(keras.layers.ReversibleEmbedding, {"embeddings": "embedding"})
