"""Plain Keras models to be members; they know nothing of sharing."""

from keras_superweights.models.wide_resnet import wide_resnet
