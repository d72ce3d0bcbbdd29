"""Answers that mean what they say, fitted on examples that were held out.

Scalings change what a network answers, and become a part of it with
`network.calibration = ...`; conformal predictions are sets and intervals of
what it answers.
"""

from keras_superweights.calibration.conformal import ConformalIntervals
from keras_superweights.calibration.conformal import ConformalSets
from keras_superweights.calibration.platt import PlattScaling
from keras_superweights.calibration.scaling import Calibration
from keras_superweights.calibration.scaling import TemperatureScaling
from keras_superweights.calibration.scaling import VectorScaling
