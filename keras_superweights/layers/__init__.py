"""The layers of members: which can be shared, and how to find them."""

from keras_superweights.layers import builtin
from keras_superweights.layers.generated import GeneratedKernel
from keras_superweights.layers.registry import GENERATED
from keras_superweights.layers.registry import generate
from keras_superweights.layers.registry import generated_class
from keras_superweights.layers.registry import register
from keras_superweights.layers.registry import why_not
from keras_superweights.layers.traversal import heads
from keras_superweights.layers.traversal import is_model
from keras_superweights.layers.traversal import pairs
from keras_superweights.layers.traversal import walk
