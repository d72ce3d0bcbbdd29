"""Kinds of ensembles: predictions, losses and metrics."""

from keras_superweights.ensembles.classifier import Classifier
from keras_superweights.ensembles.diversity import Diversity
from keras_superweights.ensembles.kind import EnsembleKind
from keras_superweights.ensembles.mimo import MIMO
from keras_superweights.ensembles.multi_label import MultiLabel
from keras_superweights.ensembles.regression import GaussianNLL
from keras_superweights.ensembles.regression import Regression
from keras_superweights.ensembles.single import Single
