"""Dense layers whose kernel is generated: see `GeneratedKernel`."""

import math

import keras

from keras_superweights.layers.generated import GeneratedKernel

DENSE = {"kernel": "dense"}


class GeneratedDense(GeneratedKernel, keras.layers.Dense, kinds=DENSE):
    """Dense layer."""


class GeneratedEinsumDense(
    GeneratedKernel, keras.layers.EinsumDense, kinds=DENSE
):
    """Dense layer by the rule of an einsum, such as those of attention."""

    @staticmethod
    def fan_in(layer):
        """The axes of the kernel that are summed over."""
        operands, output = layer.equation.split("->")
        axes = operands.split(",")[1].strip()
        shape = layer.kernel.shape
        return math.prod(
            size
            for axis, size in zip(axes, shape, strict=True)
            if axis not in output
        )
