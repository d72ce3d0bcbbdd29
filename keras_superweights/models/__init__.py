"""Plain Keras models that can be members; they know nothing of sharing.

The networks built here are Functional models of Keras' own layers only, without
dropout. Layers are named after their place: `"stem"`, `"stage1_block0_conv1"`,
`"head"`, ... The last layer computes in float32 under any dtype policy.
Convolutions have no bias and start He-normal. Batch normalization has momentum
0.9 and epsilon 1e-5, the defaults of Torch, in which these networks were
published (Torch writes that momentum as 0.1). At even sizes, strided
convolutions with Keras' `"same"` padding add more zeros at the end than at the
beginning; Torch adds equally many.

`narrowed` and `fitted` make any model narrower or wider: the networks of the
same size that sharing is compared with. `mimo` gives any model several inputs
and answers.
"""

from keras_superweights.models.densenet_bc import densenet_bc
from keras_superweights.models.gru_sentence_encoder import gru_sentence_encoder
from keras_superweights.models.multi_input import mimo
from keras_superweights.models.narrowing import fitted
from keras_superweights.models.narrowing import narrowed
from keras_superweights.models.transformer import transformer
from keras_superweights.models.vgg11 import vgg11
from keras_superweights.models.wide_resnet import wide_resnet
from keras_superweights.models.wide_resnet_50_2 import wide_resnet_50_2
