import math

import keras
import numpy as np
import pytest

import keras_superweights as ksw
from keras_superweights.models import transformer


def normalized(x, gamma, beta):
    x = x - x.mean(axis=-1, keepdims=True)
    return gamma * x / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5) + beta


def attended(x, weights):
    """Computes the model by token and by head, without later tokens."""
    query, query_bias, key, key_bias, value, value_bias, out, out_bias = weights
    results = []
    for t in range(len(x)):
        result = out_bias
        for h in range(query.shape[1]):
            q = x[t] @ query[:, h] + query_bias[h]
            keys = x[: t + 1] @ key[:, h] + key_bias[h]
            scores = np.exp(keys @ q / math.sqrt(len(q)))
            values = x[: t + 1] @ value[:, h] + value_bias[h]
            result = result + scores @ values / scores.sum() @ out[h]
        results.append(result)
    return np.array(results)


def gelu(x):
    return x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2


def test_it_equals_a_reference_in_numpy():
    draw = np.random.default_rng(0)
    model = transformer(2, 6, 2, vocabulary_size=9, context=5)
    model.set_weights([draw.normal(size=v.shape) for v in model.get_weights()])
    weights = {layer.name: layer.get_weights() for layer in model.layers}
    tokens = draw.integers(0, 9, size=5)
    (table,), (positions,) = (
        weights["token_vectors"],
        weights["position_vectors"],
    )
    x = table[tokens] + positions
    for layer in ("layer0", "layer1"):
        y = normalized(x, *weights[f"{layer}_norm1"])
        x = x + attended(y, weights[f"{layer}_attention"])
        y = normalized(x, *weights[f"{layer}_norm2"])
        for name in ("dense1", "dense2"):
            kernel, bias = weights[f"{layer}_{name}"]
            y = y @ kernel + bias
            y = gelu(y) if name == "dense1" else y
        x = x + y
    (head,) = weights["head"]
    expected = normalized(x, *weights["final_norm"]) @ head
    found = model.predict(tokens[None], verbose=0)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_all_kernels_but_the_head_are_shared_and_it_trains():
    model = transformer(2, 8, 2, vocabulary_size=11, context=4)
    network = ksw.share(model, 0.4)
    shared = [(k.layer, k.weight) for k in network.allocation.kernels]
    parts = ("query", "key", "value", "output")
    of_layer = [(f"attention/_{part}_dense", "kernel") for part in parts]
    of_layer += [("dense1", "kernel"), ("dense2", "kernel")]
    assert sorted(shared) == [
        *((f"layer{n}_{x}", y) for n in (0, 1) for x, y in sorted(of_layer)),
        ("position_vectors", "embeddings"),
        ("token_vectors", "embeddings"),
    ]
    assert network.allocation.private_kernels == ()
    network.compile(
        "adam",
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        run_eagerly=True,
    )
    tokens = np.random.default_rng(0).integers(0, 11, size=(8, 5))
    losses = network.fit(
        tokens[:, :-1], tokens[:, 1:], epochs=3, verbose=0
    ).history["loss"]
    assert losses[-1] < losses[0]


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match="`width`.*multiple.*=10, num_heads=3"):
        transformer(1, 10, 3, vocabulary_size=5)
