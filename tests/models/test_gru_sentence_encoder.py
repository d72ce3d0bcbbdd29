import numpy as np
import pytest

from keras_superweights.models import gru_sentence_encoder


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
    model = gru_sentence_encoder(20, 4, 3, embedding_size)
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
        gru_sentence_encoder(1)
