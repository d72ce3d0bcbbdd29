"""Mixings without coefficients: a single template, or the mean of all."""

from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from keras_superweights.allocation.part import Mixing


@dataclass(frozen=True)
class Plain(Mixing):
    """The only template, as it is: one vector for all kernels."""

    mixes = False

    def check(self, num_kernels, num_templates):
        if num_templates != 1:
            raise ValueError(
                "`num_templates` must be 1: several templates need "
                f"coefficients. Received: num_templates={num_templates}."
            )

    def layer(self, norms, num_templates, **kwargs):
        return None


@dataclass(frozen=True)
class Average(Mixing):
    """The mean of the templates, at the scale of each kernel (NPAS, B.2)."""

    def layer(self, norms, num_templates, **kwargs):
        return AverageLayer(norms, num_templates, **kwargs)


class AverageLayer(keras.layers.Layer):
    """Mixes the vectors of all kernels in one product, `S = C @ T`.

    `T`, of shape `(num_templates, size)`, are the templates, and `C` has one
    row per kernel, here of equal entries: nothing is learned. For the
    arguments see `Mixing.layer`.

    Attributes:
        ties: Variable with the row that each kernel uses; `None` where
            nothing can be tied.
    """

    ties = None

    def __init__(self, norms, num_templates, **kwargs):
        super().__init__(**kwargs)
        # The mean of n templates varies as 1 / n of one.
        scales = np.reshape(norms, (-1, 1)) / num_templates**0.5
        self._matrix = np.repeat(scales, num_templates, axis=1)
        self.built = True

    def matrix(self):
        """Returns `C`, of shape `(num_kernels, num_templates)`."""
        return ops.convert_to_tensor(self._matrix, self.variable_dtype)

    def mix(self, templates):
        """Returns the vectors of all kernels, `(num_kernels, size)`."""
        return ops.matmul(self.matrix(), templates)

    def mix_row(self, templates, row):
        """Returns the vector of one kernel, `(size,)`."""
        return ops.matmul(self.matrix()[row], templates)

    def linear_variables(self):
        """Returns variables that vectors are linear in, for the fitting."""
        return []

    def fit(self, mixing, vectors, weights, rms):
        """Fits coefficients to vectors, if possible; see `banks.fitting`."""
