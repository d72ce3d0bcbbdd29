"""The cells that `LSTM`, `GRU` and `Bidirectional` layers are made of."""

import keras

from keras_superweights.layers.registry import register

for layer_class in (keras.layers.LSTMCell, keras.layers.GRUCell):
    register(layer_class, {"kernel": "dense", "recurrent_kernel": "recurrent"})
