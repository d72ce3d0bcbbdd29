"""Independent: shares nothing."""

from dataclasses import dataclass

from keras_superweights.sharing.plan import SMALLER
from keras_superweights.sharing.plan import Plan
from keras_superweights.sharing.rule import Rule


@dataclass(frozen=True)
class Independent(Rule):
    """Leaves every kernel private: a deep ensemble, or the plain network.

    The baseline of the papers ("Deep Ensembles", SWN, Table 5). Without
    `transforms`, no layer is replaced, and training is that of the same plain
    Keras models.

    Args:
        kinds, exclude: Affect only `transforms`; see `Rule`.
        transforms: See `Rule`.
    """

    def plan(self, kernels, scalars):
        size = sum(kernel.size for kernel in kernels)
        Plan.require(size, scalars, kept=size, hint=SMALLER)
        return Plan(private=range(len(kernels)))
