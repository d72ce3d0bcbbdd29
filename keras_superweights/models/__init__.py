"""Plain Keras models that can be members; they know nothing of sharing."""

from keras_superweights.models.densenet_bc import densenet_bc
from keras_superweights.models.gru_sentence_encoder import gru_sentence_encoder
from keras_superweights.models.transformer import transformer
from keras_superweights.models.vgg11 import vgg11
from keras_superweights.models.wide_resnet import wide_resnet
from keras_superweights.models.wide_resnet_50_2 import wide_resnet_50_2
