from keras_superweights.banks.bank import Bank
from keras_superweights.banks.generator import KernelGenerator
