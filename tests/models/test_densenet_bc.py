import numpy as np
import pytest

from keras_superweights.models import densenet_bc


@pytest.mark.parametrize("size", [8, 7, 4])
def test_it_computes_the_network_of_the_paper(size, reference):
    model = densenet_bc(16, 3, num_classes=5, input_shape=(size, size, 2))
    images = np.random.default_rng(1).normal(size=(3, size, size, 2))
    plain = reference(model)

    x = plain.convolved(images, "stem")
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
    x = plain.normalized_relu(x, "final_norm")

    plain.check(images, x)
