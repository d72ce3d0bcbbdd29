"""Convolutions whose kernels are generated: see `GeneratedKernel`."""

import keras

from keras_superweights.layers.generated import GeneratedKernel

CONV = {"kernel": "conv"}
TRANSPOSED = {"kernel": "conv_transpose"}
DEPTHWISE = {"kernel": "depthwise"}
SEPARABLE = {"depthwise_kernel": "depthwise", "pointwise_kernel": "conv"}


class GeneratedConv1D(GeneratedKernel, keras.layers.Conv1D, kinds=CONV):
    """1D convolution."""


class GeneratedConv2D(GeneratedKernel, keras.layers.Conv2D, kinds=CONV):
    """2D convolution."""


class GeneratedConv3D(GeneratedKernel, keras.layers.Conv3D, kinds=CONV):
    """3D convolution."""


class GeneratedConv2DTranspose(
    GeneratedKernel, keras.layers.Conv2DTranspose, kinds=TRANSPOSED
):
    """Transposed 2D convolution."""


class GeneratedDepthwiseConv1D(
    GeneratedKernel, keras.layers.DepthwiseConv1D, kinds=DEPTHWISE
):
    """Depthwise 1D convolution."""


class GeneratedDepthwiseConv2D(
    GeneratedKernel, keras.layers.DepthwiseConv2D, kinds=DEPTHWISE
):
    """Depthwise 2D convolution."""


class GeneratedSeparableConv1D(
    GeneratedKernel, keras.layers.SeparableConv1D, kinds=SEPARABLE
):
    """Separable 1D convolution, with two kernels."""


class GeneratedSeparableConv2D(
    GeneratedKernel, keras.layers.SeparableConv2D, kinds=SEPARABLE
):
    """Separable 2D convolution, with two kernels."""
