"""Plans a training step: memory, and bytes that workers exchange."""

from keras_superweights.planning.counting import plan_training
from keras_superweights.planning.memory import TrainingMemory
from keras_superweights.planning.memory import TrainingPlan
from keras_superweights.planning.optimizers import OPTIMIZERS
