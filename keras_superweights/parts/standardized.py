"""The transform of weight standardization: filters of mean 0, one variance."""

from dataclasses import dataclass

import keras
from keras import ops

from keras_superweights.allocation.part import Transform

# Of an output's kernel, the axes of its inputs; windows come first.
_INPUTS = {
    "conv": slice(0, -1),
    "dense": slice(0, -1),
    "depthwise": slice(0, -2),
}


@dataclass(frozen=True)
class Standardized(Transform):
    """Gives what each output weighs its inputs with mean 0 and one variance.

    Weight standardization, after a kernel is generated, with the variance that
    kernels of its layer start with:

        K = sqrt(v) (S - mean(S)) / std(S),  over the inputs of each output

    So the scale of templates and coefficients, in which all users of a bank
    pull, is none of a kernel's concern. For networks with a normalization
    after their layers, which the lost scales do not matter to. It costs no
    scalar, and is no part of exported models, whose kernels are computed.
    `benchmarks/README.md` says what it is worth.

    Args:
        kernels: See `Transform`. Those of convolutions, depthwise ones
            included, and matrices of dense layers; choose them with the
            rule's `kinds`.

    Raises:
        ValueError: When members are allocated, if another kind of kernel is
            chosen. When a network is made with `initialize="weights"`:
            standardized kernels cannot begin as given ones.

    Example:

    ```python
    rule = ksw.sharing.FairShares(transforms=ksw.parts.Standardized())
    network = ksw.SuperWeightNetwork(members, 0.4, rule)
    ```

    References:
        - Qiao et al., Micro-Batch Training with Batch-Channel Normalization
          and Weight Standardization, section 3: arXiv:1903.10520
    """

    is_linear = False

    def check(self, kernels):
        for kernel in kernels:
            is_matrix = kernel.kind != "dense" or len(kernel.shape) == 2
            if kernel.kind not in _INPUTS or not is_matrix:
                raise ValueError(
                    "only kernels of convolutions and matrices of dense layers "
                    "can be standardized; leave others out with the rule's "
                    f"`kinds`. Received: '{kernel.layer}' of kind "
                    f"'{kernel.kind}' with shape {kernel.shape}."
                )

    def num_kept(self, kernel):
        return kernel.size

    def layer(self, kernel, **kwargs):
        axes = tuple(range(len(kernel.shape)))[_INPUTS[kernel.kind]]
        return StandardizedLayer(axes, kernel.variance, **kwargs)


class StandardizedLayer(keras.layers.Layer):
    """Standardizes a kernel over some axes, to a variance."""

    def __init__(self, axes, variance, **kwargs):
        super().__init__(**kwargs)
        self._axes = axes
        self._variance = variance
        self.built = True

    def transform(self, kernel):
        """Returns the standardized kernel."""
        mean, variance = ops.moments(kernel, self._axes, keepdims=True)
        # Far below any variance at which kernels start: a filter of zeros
        # stays one.
        scale = ops.rsqrt(variance + 1e-6 * self._variance)
        return (kernel - mean) * (scale * self._variance**0.5)
