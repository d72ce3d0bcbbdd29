"""Which layers are heads, and so a member's own."""

import pytest
from keras import Input
from keras import Model
from keras import Sequential
from keras import layers

from keras_superweights.members.allocating import describe
from keras_superweights.members.shareable import shareable_kernels


def paths(model):
    return [path for path, _, _ in shareable_kernels(model)]


def test_heads_are_the_last_weights_before_every_output():
    inputs = Input((8, 8, 2))
    x = layers.Conv2D(4, 3, name="body")(inputs)
    one = layers.Conv2D(3, 1, name="head1")(x)
    one = layers.GlobalAveragePooling2D()(one)
    left = layers.Conv2D(3, 1, name="left")(x)
    right = layers.Conv2D(3, 1, name="right")(x)
    two = layers.Add()([left, right])
    model = Model(inputs, [one, two])
    assert paths(model) == ["body"]


def test_heads_are_found_in_the_models_and_wrappers_that_come_last():
    inputs = Input((5, 4))
    x = layers.Dense(4, name="one")(inputs)
    both = [layers.Dense(3, name="two")(x), layers.ReLU()(inputs)]
    last = Model(inputs, both, name="last")
    inputs = Input((5, 4))
    one, passed = last(layers.Dense(4, name="body")(inputs))
    every = layers.TimeDistributed(layers.Dense(3), name="every")
    # The second output of `last` leads to its input, and so to `body`.
    model = Model(inputs, [layers.Softmax()(one), passed])
    assert paths(model) == ["last/one"]
    model = Model(inputs, [one, every(passed)])
    assert paths(model) == ["body", "last/one"]
    inner = Sequential([layers.Dense(4, name="b"), layers.Dense(2)], name="c")
    model = Sequential([Input((4,)), layers.Dense(4, name="a"), inner])
    assert paths(model) == ["a", "c/b"]


def test_an_encoder_that_ends_in_a_recurrent_layer_shares_it():
    inputs = Input((5, 4))
    x = layers.Bidirectional(layers.GRU(3), name="both")(inputs)
    cells = ["both/forward_layer/cell"] * 2 + ["both/backward_layer/cell"] * 2
    assert paths(Model(inputs, x)) == cells
    outputs = layers.Dense(2, name="head")(x)
    assert paths(Model(inputs, outputs)) == cells


def test_an_encoder_that_ends_in_layers_of_layers_shares_them():
    inputs = Input((5, 4))
    x = layers.MultiHeadAttention(2, 3, name="att")(inputs, inputs)
    model = Model(inputs, x)
    assert len(paths(model)) == 4
    # Two layers with weights, but one kernel, and that is the head's.
    last = layers.SpectralNormalization(layers.Dense(2), name="last")
    x = layers.Dense(4, name="body")(inputs)
    assert paths(Model(inputs, last(x))) == ["body"]


@pytest.mark.parametrize("tied", [False, True])
def test_a_table_that_is_read_in_reverse_is_no_head(tied):
    table = layers.ReversibleEmbedding(9, 4, tie_weights=tied, name="table")
    words = Input((5,), dtype="int32")
    x = layers.Dense(4, name="body")(table(words))
    model = Model(words, table(x, reverse=True))
    assert paths(model) == ["table", "body"]
    # Untied, the matrix of the logits is what a head would be: private.
    (spec,) = describe([model])
    assert spec.other_params == 4 + (0 if tied else 9 * 4)
    assert not spec.unshared
