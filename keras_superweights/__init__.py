"""Networks and ensembles trained inside a fixed number of parameters.

The words used everywhere:

    member        one network of the ensemble; a single one is an ensemble of 1
    kernel        the weight tensor of one layer
    SuperWeight   a piece of a kernel, generated as a whole
    cluster       the kernels, of any member, that may share
    bank          the trainable store behind one SuperWeight of one cluster
    template      one vector of a bank, as long as the SuperWeight it serves
    coefficients  the scalars that mix a bank's templates into one SuperWeight
    tie           two kernels that use the same coefficients are tied
    sharing       the rule that turns kernels and a budget into an allocation
    allocation    the result: pure data that says which kernel is made of what
    budget        the most trainable scalars that the whole thing may have

Papers, as they are cited:

    SWN  Teterwak et al., Learning to Compose SuperWeights for Neural Parameter
         Allocation Search; sections, tables and figures are those of its
         supplement
    ME   MixtureEnsembles: Leveraging Parameter Sharing for Efficient Ensembles
    NPAS Plummer et al., Neural Parameter Allocation Search
"""

from keras_superweights import calibration
from keras_superweights import callbacks
from keras_superweights import ensembles
from keras_superweights import export
from keras_superweights import layers
from keras_superweights import metrics
from keras_superweights import models
from keras_superweights import optimizers
from keras_superweights import parts
from keras_superweights import planning
from keras_superweights import schedules
from keras_superweights import search
from keras_superweights import sharing
from keras_superweights import tuning
from keras_superweights.allocation import Allocation
from keras_superweights.members.allocating import allocate
from keras_superweights.share import share
from keras_superweights.training.network import SuperWeightNetwork
