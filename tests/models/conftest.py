"""The layers of the models, written with NumPy."""

import numpy as np
import pytest


class Reference:
    """Computes the layers of a model with its weights."""

    def __init__(self, model):
        self.model = model
        self.weights = {
            layer.name: layer.get_weights() for layer in model.layers
        }

    def convolved(self, x, name, strides=1):
        (kernel,) = self.weights[name]
        patches = self._patches(x, kernel.shape[0], strides, fill=0)
        return np.tensordot(patches, kernel, 3)

    def normalized(self, x, name):
        gamma, beta, mean, variance = self.weights[name]
        return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta

    def normalized_relu(self, x, name):
        return np.maximum(self.normalized(x, name), 0)

    def maximum(self, x, size, strides):
        return self._patches(x, size, strides, fill=-np.inf).max((3, 4))

    def average(self, x, size):
        """Averages adjacent windows; drops rows that do not fill one."""
        height, width = (n // size for n in x.shape[1:3])
        x = x[:, : height * size, : width * size]
        x = x.reshape(len(x), height, size, width, size, -1)
        return x.mean((2, 4))

    def check(self, images, x):
        """Asserts the logits of the model, computed from its last features."""
        kernel, bias = self.weights["head"]
        found = self.model(images, training=False)
        expected = x.mean(axis=(1, 2)) @ kernel + bias
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)

    @staticmethod
    def _patches(x, size, strides, fill):
        """`"same"` windows, `(batch, out, out, size, size, channels)`."""
        out = -(-x.shape[1] // strides)
        pad = max((out - 1) * strides + size - x.shape[1], 0)
        before = pad // 2
        around = (before, pad - before)
        x = np.pad(x, ((0, 0), around, around, (0, 0)), constant_values=fill)
        windows = np.lib.stride_tricks.sliding_window_view(
            x, (size, size), (1, 2)
        )[:, ::strides, ::strides]
        return windows.transpose(0, 1, 2, 4, 5, 3)


@pytest.fixture
def reference():
    """Returns a `Reference` of a model, with random statistics."""

    def make(model):
        generator = np.random.default_rng(1)
        for layer in model.layers:
            values = layer.get_weights()
            if len(values) == 4:  # batch normalization
                layer.set_weights(
                    [
                        np.abs(v + 0.1 * generator.normal(size=v.shape))
                        for v in values
                    ]
                )
        return Reference(model)

    return make
