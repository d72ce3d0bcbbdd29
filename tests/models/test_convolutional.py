"""Convolutional models compute the networks of the papers, as in NumPy."""

import keras
import numpy as np
import pytest

from keras_superweights import models
from keras_superweights.members.cloning import without_memory


class Reference:
    """Computes the layers of a model with its weights."""

    def __init__(self, model):
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

    @staticmethod
    def _patches(x, size, strides, fill):
        """`"same"` windows, `(batch, out, out, size, size, channels)`."""
        around = [(0, 0), (0, 0)]
        for length in x.shape[1:3]:
            out = -(-length // strides)
            pad = max((out - 1) * strides + size - length, 0)
            around.insert(-1, (pad // 2, pad - pad // 2))
        x = np.pad(x, around, constant_values=fill)
        windows = np.lib.stride_tricks.sliding_window_view(
            x, (size, size), (1, 2)
        )[:, ::strides, ::strides]
        return windows.transpose(0, 1, 2, 4, 5, 3)


def densenet_bc(plain, x):
    """Of two layers per block."""
    x = plain.convolved(x, "stem")
    for block in (1, 2, 3):
        if block > 1:
            name = f"transition{block - 1}"
            x = plain.normalized_relu(x, f"{name}_norm")
            x = plain.average(plain.convolved(x, f"{name}_conv"), 2)
        for layer in range(2):
            name = f"block{block}_layer{layer}"
            y = plain.normalized_relu(x, f"{name}_norm1")
            y = plain.convolved(y, f"{name}_conv1")
            y = plain.normalized_relu(y, f"{name}_norm2")
            y = plain.convolved(y, f"{name}_conv2")
            x = np.concatenate([x, y], axis=-1)
    return plain.normalized_relu(x, "final_norm")


def vgg11(plain, x):
    size = x.shape[1]
    for stage, convolutions in enumerate((1, 1, 2, 2, 2), start=1):
        for index in range(1, convolutions + 1):
            x = plain.convolved(x, f"stage{stage}_conv{index}")
            x = plain.normalized_relu(x, f"stage{stage}_norm{index}")
        x = plain.maximum(x, 2, strides=2)
    assert x.shape[1] == -(-size // 32)
    return x


def wide_resnet(plain, x):
    """Of two blocks per stage, and at least twice as wide as the stem."""
    x = plain.convolved(x, "stem")
    for stage in (1, 2, 3):
        for block in range(2):
            name = f"stage{stage}_block{block}"
            strides = 2 if stage > 1 and block == 0 else 1
            active = plain.normalized_relu(x, f"{name}_norm1")
            y = plain.convolved(active, f"{name}_conv1", strides)
            y = plain.normalized_relu(y, f"{name}_norm2")
            y = plain.convolved(y, f"{name}_conv2")
            if block == 0:
                x = plain.convolved(active, f"{name}_shortcut", strides)
            x = x + y
    return plain.normalized_relu(x, "final_norm")


def wide_resnet_50_2(plain, x):
    x = plain.convolved(x, "stem", strides=2)
    x = plain.maximum(plain.normalized_relu(x, "stem_norm"), 3, strides=2)
    for stage, blocks in enumerate((3, 4, 6, 3), start=1):
        for block in range(blocks):
            name = f"stage{stage}_block{block}"
            strides = 2 if stage > 1 and block == 0 else 1
            y = plain.convolved(x, f"{name}_conv1")
            y = plain.normalized_relu(y, f"{name}_norm1")
            y = plain.convolved(y, f"{name}_conv2", strides)
            y = plain.normalized_relu(y, f"{name}_norm2")
            y = plain.convolved(y, f"{name}_conv3")
            y = plain.normalized(y, f"{name}_norm3")
            if block == 0:
                x = plain.convolved(x, f"{name}_shortcut", strides)
                x = plain.normalized(x, f"{name}_shortcut_norm")
            x = np.maximum(x + y, 0)
    return x


@pytest.mark.parametrize(
    ("features", "arguments", "input_shape", "size"),
    [
        *((densenet_bc, (16, 3), (n, n, 2), (n, n)) for n in (8, 7, 4)),
        *((vgg11, (), (n, n, 2), (n, n)) for n in (1, 8, 13, 32, 64)),
        (wide_resnet, (16, 2), (8, 8, 1), (8, 8)),
        (wide_resnet, (16, 2), (4, 4, 3), (4, 4)),
        (wide_resnet, (16, 2), (5, 7, 2), (5, 7)),
        (wide_resnet, (16, 2), (None, None, 1), (9, 9)),
        (wide_resnet_50_2, (), (35, 35, 2), (35, 35)),
    ],
)
def test_it_computes_the_network_of_the_paper(
    features, arguments, input_shape, size
):
    build = getattr(models, features.__name__)
    model = build(*arguments, num_classes=5, input_shape=input_shape)
    draw = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            values = layer.get_weights()
            layer.set_weights(
                [np.abs(v + 0.1 * draw.normal(size=v.shape)) for v in values]
            )
    images = draw.normal(size=(2, *size, input_shape[-1])).astype("float32")
    kernel, bias = model.get_layer("head").get_weights()
    x = features(Reference(model), images)
    np.testing.assert_allclose(
        model(images, training=False),
        x.mean(axis=(1, 2)) @ kernel + bias,
        rtol=1e-4,
        atol=1e-4,
    )


def test_wide_resnet_50_2_is_resnet_50_with_its_inner_channels_doubled():
    with without_memory():
        model = models.wide_resnet_50_2()
        narrow = keras.applications.ResNet50(weights=None)
    widened, found = (
        [
            (x.name, *x.kernel.shape)
            for x in network.layers
            if isinstance(x, keras.layers.Conv2D)
        ]
        for network in (narrow, model)
    )
    expected = [
        (
            *(height, width),
            inputs * (2 if name.endswith(("_2_conv", "_3_conv")) else 1),
            outputs * (2 if name.endswith(("_1_conv", "_2_conv")) else 1),
        )
        for name, height, width, inputs, outputs in widened
    ]
    assert sorted(shape for _, *shape in found) == sorted(map(list, expected))
