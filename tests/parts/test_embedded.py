import math

import numpy as np

from keras_superweights.parts import Embedded
from tests import builders

NORMS = [0.5, 1.0, 3.0]


def weights_by_hand(layer):
    """Softmax of a projection, one row per embedding (NPAS, 3.2)."""
    logits = layer.coefficients.numpy() @ layer.projection.numpy()
    return np.array([builders.softmax(r + layer.bias.numpy()) for r in logits])


def test_templates_are_weighted_by_a_softmax_of_the_embedding():
    draw = np.random.default_rng(0)
    for ties in ((0, 1, 2), (0, 1, 0)):
        layer = Embedded(ties).layer(NORMS, 4, name="it")
        assert layer.name == "it"
        layer.bias.assign(draw.normal(size=4))
        templates = draw.normal(size=(4, 7)).astype("float32")
        weights = weights_by_hand(layer)[list(ties)]
        # As an equal mean of four varies as a quarter of one.
        expected = 2 * np.diag(NORMS) @ weights @ templates
        found = layer.mix(templates)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
        for row in range(3):
            np.testing.assert_allclose(
                layer.mix_row(templates, row), expected[row], rtol=1e-4
            )


def test_embeddings_of_24_and_one_projection_are_counted():
    mixing = Embedded((0, 1, 0))
    assert mixing.num_scalars(3, 5) == 3 * 24 + 24 * 5 + 5
    layer = mixing.layer(NORMS, 5)
    sizes = [math.prod(v.shape) for v in layer.trainable_variables]
    assert sum(sizes) == mixing.num_scalars(3, 5)
    np.testing.assert_array_equal(layer.ties, (0, 1, 0))
    in_use = layer.coefficients.numpy()[:2]
    np.testing.assert_allclose(in_use @ in_use.T, np.eye(2), atol=1e-5)
    assert mixing.with_ties([0, 1, 2]) == Embedded((0, 1, 2))


def test_embeddings_are_tied_but_not_fitted():
    layer = Embedded((0, 1, 2)).layer(NORMS, 4)
    assert layer.linear_variables() == []
    layer.set_ties([0, 0, 2])
    weights = layer.matrix().numpy() / np.reshape(NORMS, (3, 1))
    np.testing.assert_allclose(weights[0], weights[1], rtol=1e-5)
