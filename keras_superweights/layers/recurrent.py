"""Recurrent cells whose kernels are generated: see `GeneratedKernel`.

`LSTM`, `GRU` and `Bidirectional` layers are made of them.
"""

import keras

from keras_superweights.layers.generated import GeneratedKernel

RECURRENT = {"kernel": "dense", "recurrent_kernel": "recurrent"}


class GeneratedLSTMCell(
    GeneratedKernel, keras.layers.LSTMCell, kinds=RECURRENT
):
    """Cell of an LSTM, with two kernels."""


class GeneratedGRUCell(GeneratedKernel, keras.layers.GRUCell, kinds=RECURRENT):
    """Cell of a GRU, with two kernels."""
