"""Which kernels can be generated."""

import math

import keras

from keras_superweights.members.allocating import describe
from keras_superweights.members.shareable import shareable_kernels
from tests.members.builders import everything
from tests.members.builders import sequences


def paths(model):
    return [path for path, _, _ in shareable_kernels(model)]


def scalars(model):
    return sum(math.prod(v.shape) for v in model.trainable_variables)


def test_kernels_of_all_kinds_are_shared_wherever_they_are():
    model = everything()
    (spec,) = describe([model])
    assert spec.num_params == scalars(model)
    found = [(k.layer, k.weight, k.kind, k.shape) for k in spec.kernels]
    assert found == [
        ("conv", "kernel", "conv", (3, 3, 4, 4)),
        ("grouped", "kernel", "conv", (3, 3, 2, 4)),
        ("dilated", "kernel", "conv", (3, 3, 4, 4)),
        ("depthwise", "kernel", "depthwise", (3, 3, 4, 1)),
        ("separable", "depthwise_kernel", "depthwise", (3, 3, 4, 1)),
        ("separable", "pointwise_kernel", "conv", (1, 1, 4, 4)),
        ("transposed", "kernel", "conv_transpose", (3, 3, 4, 4)),
        ("twice", "kernel", "dense", (4, 4)),
        ("nested/inside", "kernel", "conv", (1, 1, 4, 4)),
        ("conv3d", "kernel", "conv", (2, 2, 2, 4, 4)),
        ("conv1d", "kernel", "conv", (3, 4, 4)),
        ("dense", "kernel", "dense", (256, 6)),
    ]


@keras.saving.register_keras_serializable("tests")
class Block(keras.layers.Layer):
    """Layers in an attribute, in a list, in a model; two are unnamed."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first = keras.layers.Dense(4)
        self.others = [keras.layers.Dense(4, name="same") for _ in range(2)]
        self.model = keras.Sequential([keras.layers.Dense(4)])

    def call(self, inputs):
        x = self.first(inputs)
        for layer in self.others:
            x = layer(x)
        return self.model(x)


def test_kernels_in_wrappers_cells_and_layers_of_ones_own_have_paths():
    layers = keras.layers
    inner = keras.Input((4,))
    inner = keras.Model(inner, layers.Dense(4, name="deep")(inner), name="in")
    model = sequences(
        layers.Bidirectional(
            layers.LSTM(3, return_sequences=True), name="both"
        ),
        layers.GRU(4, return_sequences=True, name="gru"),
        layers.RNN(
            [layers.LSTMCell(4), layers.GRUCell(4)],
            return_sequences=True,
            name="stack",
        ),
        layers.TimeDistributed(inner, name="each"),
        layers.TimeDistributed(layers.Dense(4), name="every"),
        Block(name="block"),
    )
    (spec,) = describe([model])
    cells = "both/forward_layer/cell both/backward_layer/cell gru/cell"
    cells += " stack/cell/0 stack/cell/1"
    dense = "each/layer/deep every/layer block/first block/1 block/2"
    dense += " block/model/0"
    expected = []
    for path in cells.split():
        expected.append((path, "kernel", "dense"))
        expected.append((path, "recurrent_kernel", "recurrent"))
    expected += [(path, "kernel", "dense") for path in dense.split()]
    assert [(k.layer, k.weight, k.kind) for k in spec.kernels] == expected
    assert spec.num_params == scalars(model)


def test_fan_in_is_what_feeds_an_output():
    attention = keras.layers.MultiHeadAttention(2, 3, name="attention")
    inputs = keras.Input((5, 4))
    x = keras.layers.EinsumDense("abc,cd->abd", (None, 6), name="flat")(inputs)
    x = keras.layers.SeparableConv1D(5, 2, depth_multiplier=2)(x)
    x = keras.layers.Conv1D(4, 3, groups=1)(attention(x, x))
    x = keras.layers.LSTM(7)(x)
    (spec,) = describe([keras.Model(inputs, keras.layers.Dense(2)(x))])
    assert [(k.shape, k.fan_in) for k in spec.kernels] == [
        ((4, 6), 4),
        ((2, 6, 2), 2 * 6),  # as Keras' initializers count it
        ((1, 12, 5), 12),
        ((5, 2, 3), 5),
        ((5, 2, 3), 5),
        ((5, 2, 3), 5),
        ((2, 3, 5), 2 * 3),
        ((3, 5, 4), 3 * 5),
        ((4, 28), 4),
        ((7, 28), 7),
    ]


def test_constraints_keep_one_kernel_of_a_layer_private():
    layers = keras.layers
    sequence = {"return_sequences": True}
    model = sequences(
        layers.LSTM(3, recurrent_constraint="non_neg", **sequence),
        layers.GRU(3, kernel_constraint="non_neg", **sequence),
        layers.SeparableConv1D(3, 2, depthwise_constraint="non_neg"),
        layers.SeparableConv1D(3, 2, pointwise_constraint="non_neg"),
        layers.DepthwiseConv1D(2, depthwise_constraint="non_neg"),
    )
    weights = [weight for _, _, weight in shareable_kernels(model)]
    expected = ["kernel", "recurrent_kernel"]
    assert weights == [*expected, "pointwise_kernel", "depthwise_kernel"]
    inputs = keras.Input((5,))
    x = layers.Embedding(9, 4, embeddings_constraint="unit_norm")(inputs)
    x = layers.Dense(3)(layers.Dense(3, name="d")(x))
    assert paths(keras.Model(inputs, x)) == ["d"]


def test_an_adapted_low_rank_layer_is_not_shared():
    layers = [keras.layers.Dense(4, lora_rank=2), keras.layers.Dense(4)]
    assert len(paths(sequences(*layers))) == 1


def test_layers_and_models_called_several_times_count_once():
    twice = keras.layers.Dense(4, name="twice")
    inner = keras.Input((5, 4))
    inner = keras.Model(inner, twice(twice(inner)), name="inner")
    assert paths(sequences(inner, inner)) == ["inner/twice"]


def test_what_is_frozen_in_models_and_wrappers_is_not_shared():
    layers = keras.layers
    inputs = keras.Input((5, 4))
    x = layers.Dense(4, name="one")(inputs)
    inner = keras.Model(inputs, layers.Dense(4, name="two")(x), name="in")
    both = layers.Bidirectional(layers.LSTM(3, return_sequences=True), name="b")
    model = sequences(inner, both)
    inner.get_layer("one").trainable = False
    both.forward_layer.trainable = False
    assert paths(model) == ["in/two"] + ["b/backward_layer/cell"] * 2
    inner.trainable = False
    assert paths(model) == ["b/backward_layer/cell"] * 2
    # Which trains it in Keras, too, whatever the model around it says.
    inner.get_layer("two").trainable = True
    assert paths(model) == ["in/two"] + ["b/backward_layer/cell"] * 2
