import keras
import numpy as np

from keras_superweights.members.cloning import without_memory
from keras_superweights.metrics import count_flops
from keras_superweights.models import wide_resnet_50_2


def convolutions(model):
    return [x for x in model.layers if isinstance(x, keras.layers.Conv2D)]


def test_it_is_as_large_as_torchvisions():
    with without_memory():
        model = wide_resnet_50_2()
    # Its documentation says 11.40 G multiply-adds.
    assert round(count_flops(model) / 2e9, 2) == 11.40


def test_it_is_resnet_50_with_its_inner_channels_doubled():
    with without_memory():
        model = wide_resnet_50_2()
        narrow = keras.applications.ResNet50(weights=None)
    widened = []
    for layer in convolutions(narrow):
        height, width, inputs, outputs = layer.kernel.shape
        if layer.name.endswith(("_2_conv", "_3_conv")):
            inputs *= 2
        if layer.name.endswith(("_1_conv", "_2_conv")):
            outputs *= 2
        widened.append((height, width, inputs, outputs))
    found = [tuple(layer.kernel.shape) for layer in convolutions(model)]
    assert sorted(found) == sorted(widened)


def test_it_computes_the_network_of_the_paper(reference):
    model = wide_resnet_50_2(num_classes=5, input_shape=(35, 35, 2))
    images = np.random.default_rng(1).normal(size=(1, 35, 35, 2))
    images = images.astype("float32")  # as the kernels: they are large
    plain = reference(model)

    x = plain.convolved(images, "stem", strides=2)
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

    plain.check(images, x)
