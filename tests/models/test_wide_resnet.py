import numpy as np
import pytest

from keras_superweights.models import wide_resnet


@pytest.mark.parametrize(
    "input_shape", [(8, 8, 1), (4, 4, 3), (5, 7, 2), (None, None, 1)], ids=str
)
def test_logits_come_from_any_input_of_at_least_4_pixels(input_shape):
    model = wide_resnet(10, 1, num_classes=7, input_shape=input_shape)
    images = np.random.default_rng(0).normal(
        size=(2, *(size or 9 for size in input_shape))
    )
    logits = model(images, training=False)
    assert logits.shape == (2, 7)
    assert np.isfinite(logits).all()


def test_it_computes_the_network_of_the_paper(reference):
    model = wide_resnet(16, 2, num_classes=5, input_shape=(8, 8, 1))
    images = np.random.default_rng(1).normal(size=(3, 8, 8, 1))
    plain = reference(model)

    x = plain.convolved(images, "stem")
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
    x = plain.normalized_relu(x, "final_norm")

    plain.check(images, x)
