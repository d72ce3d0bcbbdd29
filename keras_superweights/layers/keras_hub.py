"""Layers of KerasHub that hold kernels of their own.

Most of KerasHub is made of Keras' layers. The others are found by the name
under which Keras saves them, so that KerasHub is never imported here.
"""

KERAS_HUB = {
    "keras_hub>PositionEmbedding": {"position_embeddings": "embedding"},
}
