from keras_superweights.layers.generated import GeneratedKernel
from keras_superweights.layers.registry import GENERATED
from keras_superweights.layers.registry import generate
from keras_superweights.layers.traversal import heads
from keras_superweights.layers.traversal import is_model
from keras_superweights.layers.traversal import pairs
from keras_superweights.layers.traversal import walk
