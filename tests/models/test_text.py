"""Models of texts equal references in NumPy."""

import math

import keras
import numpy as np
import pytest

import keras_superweights as ksw
from keras_superweights import models


def sentences(generator, count=12, words=9, vocabulary_size=20):
    """Returns random word ids with padding among and after the words."""
    ids = generator.integers(0, vocabulary_size, size=(count, words))
    ids[:, 0] = generator.integers(1, vocabulary_size, size=count)
    for row, length in enumerate(generator.integers(1, words + 1, size=count)):
        ids[row, length:] = 0
    return ids


def states(vectors, kernel, recurrent_kernel, bias):
    """Returns the states of a GRU after each of `(words, size)` vectors."""
    units = len(recurrent_kernel)
    state, found = np.zeros(units), []
    for vector in vectors:
        read = np.split(vector @ kernel + bias[0], 3)
        kept = np.split(state @ recurrent_kernel + bias[1], 3)
        update = 1 / (1 + np.exp(-read[0] - kept[0]))
        reset = 1 / (1 + np.exp(-read[1] - kept[1]))
        new = np.tanh(read[2] + reset * kept[2])
        state = update * state + (1 - update) * new
        found.append(state)
    return np.array(found)


@pytest.mark.parametrize("embedding_size", [None, 5])
def test_it_is_the_mean_of_both_states_over_all_words(embedding_size):
    generator = np.random.default_rng(0)
    model = models.gru_sentence_encoder(20, 4, 3, embedding_size)
    model.set_weights(
        [generator.normal(size=v.shape) for v in model.get_weights()]
    )
    table, *gru = model.get_weights()
    ids = sentences(generator)
    expected = []
    for row in ids:
        vectors = table[row[row > 0]]
        forwards = states(vectors, *gru[:3])
        backwards = states(vectors[::-1], *gru[3:6])[::-1]
        expected.append(((forwards + backwards) / 2).mean(axis=0))
    if embedding_size:
        kernel, bias = model.get_layer("projection").get_weights()
        expected = np.array(expected) @ kernel + bias
    for padded in (ids, np.pad(ids, ((0, 0), (0, 5)))):
        np.testing.assert_allclose(
            model.predict(padded, verbose=0), expected, rtol=1e-4, atol=1e-5
        )
    empty = model.predict(np.zeros((2, 3), int), verbose=0)
    assert np.isnan(empty).all()


def test_a_vocabulary_of_padding_alone_is_refused():
    with pytest.raises(ValueError, match="`vocabulary_size`.*at least 2.*=1"):
        models.gru_sentence_encoder(1)


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
    model = models.transformer(2, 6, 2, vocabulary_size=9, context=5)
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
    model = models.transformer(2, 8, 2, vocabulary_size=11, context=4)
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
        models.transformer(1, 10, 3, vocabulary_size=5)
