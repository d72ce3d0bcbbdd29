"""What a trained ensemble is measured by: NumPy in, plain numbers out."""

from keras_superweights.metrics.calibration import calibration_bins
from keras_superweights.metrics.calibration import expected_calibration_error
from keras_superweights.metrics.classification import accuracy
from keras_superweights.metrics.classification import negative_log_likelihood
from keras_superweights.metrics.ensembles import diversity
from keras_superweights.metrics.ensembles import ensemble_probabilities
from keras_superweights.metrics.evaluation import best_within
from keras_superweights.metrics.evaluation import evaluate_members
from keras_superweights.metrics.evaluation import evaluate_probabilities
from keras_superweights.metrics.evaluation import pareto_frontier
from keras_superweights.metrics.flops import count_flops
from keras_superweights.metrics.interpolation import interpolate_members
from keras_superweights.metrics.interpolation import same_architecture
from keras_superweights.metrics.predictions import predict_members
from keras_superweights.metrics.robustness import evaluate_corrupted
