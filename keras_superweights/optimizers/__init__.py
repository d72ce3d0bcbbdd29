"""Optimizers that Keras does not have."""

from keras_superweights.optimizers.ivon import IVON
from keras_superweights.optimizers.sampling import sampled_weights
