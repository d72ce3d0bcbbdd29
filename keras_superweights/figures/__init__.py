"""Figures of a run, drawn from plain data.

Each function returns a `matplotlib.figure.Figure` that belongs to the caller:
it opens no window and changes no global state. Save it with
`figure.savefig("curves.png")`.
"""

from keras_superweights.figures.anytime import anytime_curve
from keras_superweights.figures.clusters import cluster_membership
from keras_superweights.figures.comparison import comparison
from keras_superweights.figures.evaluation import corruption_curves
from keras_superweights.figures.evaluation import interpolation_curve
from keras_superweights.figures.evaluation import reliability
from keras_superweights.figures.parameters import allocation_bars
from keras_superweights.figures.pareto import pareto_front
from keras_superweights.figures.sensitivity import sensitivity_curves
from keras_superweights.figures.sharing import coefficient_matrix
from keras_superweights.figures.sharing import similarity_matrix
from keras_superweights.figures.training import training_curves
