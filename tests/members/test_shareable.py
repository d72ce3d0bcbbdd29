"""Which kernels can be generated, and why others cannot."""

import json
import math

import keras
import pytest

from keras_superweights.allocation import Allocation
from keras_superweights.layers import walk
from keras_superweights.members.allocating import allocate
from keras_superweights.members.allocating import describe
from keras_superweights.members.shareable import shareable_kernels
from keras_superweights.members.shareable import unshared_kernels
from keras_superweights.sharing import Independent


def everything():
    """One layer of every kind, shareable or not."""
    layers = keras.layers
    images = keras.Input((8, 8, 4), name="images")
    x = layers.Conv2D(4, 3, padding="same", name="conv")(images)
    x = layers.Conv2D(4, 3, padding="same", groups=2, name="grouped")(x)
    x = layers.Conv2D(4, 3, padding="same", dilation_rate=2, name="dilated")(x)
    x = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = layers.SeparableConv2D(4, 3, padding="same", name="separable")(x)
    x = layers.Conv2DTranspose(4, 3, padding="same", name="transposed")(x)
    x = layers.Conv2D(4, 1, kernel_constraint="non_neg", name="constrained")(x)
    frozen = layers.Conv2D(4, 1, name="frozen")
    frozen.trainable = False
    x = frozen(x)
    twice = layers.Dense(4, name="twice")
    x = twice(twice(x))
    x = keras.Sequential(
        [keras.Input((8, 8, 4)), layers.Conv2D(4, 1, name="inside")],
        name="nested",
    )(x)
    y = layers.Reshape((4, 4, 4, 4))(x)
    y = layers.Conv3D(4, 2, padding="same", name="conv3d")(y)
    y = layers.Reshape((64, 4))(y)
    y = layers.Conv1D(4, 3, padding="causal", name="conv1d")(y)
    y = layers.Flatten()(y)
    y = layers.Dense(6, use_bias=False, name="dense")(y)
    return keras.Model(images, layers.Dense(3, name="head")(y))


def paths(model):
    return [path for path, _, _ in shareable_kernels(model)]


def test_kernels_of_all_kinds_are_shared_wherever_they_are():
    (spec,) = describe([everything()])
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


def sequences(*layers, features=4, classes=3):
    """A model of layers on sequences, with a head."""
    inputs = keras.Input((5, features))
    x = inputs
    for layer in layers:
        x = layer(x)
    x = keras.layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, keras.layers.Dense(classes, name="head")(x))


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
    cell = [("kernel", "dense"), ("recurrent_kernel", "recurrent")]
    expected = [
        (path, *weight)
        for path in (
            "both/forward_layer/cell",
            "both/backward_layer/cell",
            "gru/cell",
            "stack/cell/0",
            "stack/cell/1",
        )
        for weight in cell
    ]
    expected += [
        (path, "kernel", "dense")
        for path in (
            "each/layer/deep",
            "every/layer",
            "block/first",
            "block/1",
            "block/2",
            "block/model/0",
        )
    ]
    assert [(k.layer, k.weight, k.kind) for k in spec.kernels] == expected
    total = sum(math.prod(v.shape) for v in model.trainable_variables)
    assert spec.num_params == total


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
    separable = {"depthwise_constraint": "non_neg"}
    model = sequences(
        layers.LSTM(3, return_sequences=True, recurrent_constraint="non_neg"),
        layers.GRU(3, return_sequences=True, kernel_constraint="non_neg"),
        layers.SeparableConv1D(3, 2, **separable),
        layers.SeparableConv1D(3, 2, pointwise_constraint="non_neg"),
        layers.DepthwiseConv1D(2, depthwise_constraint="non_neg"),
    )
    weights = [weight for _, _, weight in shareable_kernels(model)]
    assert weights == [
        "kernel",
        "recurrent_kernel",
        "pointwise_kernel",
        "depthwise_kernel",
    ]
    inputs = keras.Input((5,))
    x = layers.Embedding(9, 4, embeddings_constraint="unit_norm")(inputs)
    x = layers.Dense(3)(layers.Dense(3, name="d")(x))
    assert paths(keras.Model(inputs, x)) == ["d"]


def test_a_kernel_that_its_wrapper_assigns_to_is_not_shared():
    layers = keras.layers
    normed = layers.SpectralNormalization(layers.Dense(4), name="normed")
    assert paths(sequences(layers.Dense(4, name="d"), normed)) == ["d"]


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

    def build():
        inputs = keras.Input((5, 4))
        x = layers.Dense(4, name="one")(inputs)
        inner = keras.Model(inputs, layers.Dense(4, name="two")(x), name="in")
        lstm = layers.LSTM(3, return_sequences=True)
        return sequences(inner, layers.Bidirectional(lstm, name="both"))

    model = build()
    model.get_layer("in").get_layer("one").trainable = False
    model.get_layer("both").forward_layer.trainable = False
    assert paths(model) == ["in/two"] + ["both/backward_layer/cell"] * 2
    model.get_layer("in").trainable = False
    assert paths(model) == ["both/backward_layer/cell"] * 2
    # Which trains it in Keras, too, whatever the model around it says.
    model.get_layer("in").get_layer("two").trainable = True
    assert paths(model) == ["in/two"] + ["both/backward_layer/cell"] * 2


def test_the_parameters_of_a_description_are_those_of_the_model():
    model = everything()
    (spec,) = describe([model])
    count = sum(math.prod(v.shape) for v in model.trainable_variables)
    assert spec.num_params == count


def test_heads_are_the_last_weights_before_every_output():
    inputs = keras.Input((8, 8, 2))
    x = keras.layers.Conv2D(4, 3, name="body")(inputs)
    one = keras.layers.Conv2D(3, 1, name="head1")(x)
    one = keras.layers.GlobalAveragePooling2D()(one)
    left = keras.layers.Conv2D(3, 1, name="left")(x)
    right = keras.layers.Conv2D(3, 1, name="right")(x)
    two = keras.layers.Add()([left, right])
    model = keras.Model(inputs, [one, two])
    assert paths(model) == ["body"]


def test_heads_are_found_in_the_models_and_wrappers_that_come_last():
    layers = keras.layers
    inputs = keras.Input((5, 4))
    x = layers.Dense(4, name="one")(inputs)
    both = [layers.Dense(3, name="two")(x), layers.ReLU()(inputs)]
    last = keras.Model(inputs, both, name="last")
    inputs = keras.Input((5, 4))
    one, passed = last(layers.Dense(4, name="body")(inputs))
    every = layers.TimeDistributed(layers.Dense(3), name="every")
    # The second output of `last` leads to its input, and so to `body`.
    model = keras.Model(inputs, [layers.Softmax()(one), passed])
    assert paths(model) == ["last/one"]
    model = keras.Model(inputs, [one, every(passed)])
    assert paths(model) == ["body", "last/one"]
    assert paths(
        keras.Sequential(
            [
                keras.Input((4,)),
                layers.Dense(4, name="a"),
                keras.Sequential(
                    [layers.Dense(4, name="b"), layers.Dense(2)],
                    name="c",
                ),
            ]
        )
    ) == ["a", "c/b"]


def test_an_encoder_that_ends_in_a_recurrent_layer_shares_it():
    layers = keras.layers
    inputs = keras.Input((5, 4))
    x = layers.Bidirectional(layers.GRU(3), name="both")(inputs)
    cells = ["both/forward_layer/cell"] * 2 + ["both/backward_layer/cell"] * 2
    assert paths(keras.Model(inputs, x)) == cells
    outputs = layers.Dense(2, name="head")(x)
    assert paths(keras.Model(inputs, outputs)) == cells


@keras.saving.register_keras_serializable("tests")
class OwnWeight(keras.layers.Layer):
    """A layer of the user's own, with a kernel and a layer."""

    def build(self, shape):
        self.matrix = self.add_weight(shape=(shape[-1], 4), name="matrix")
        self.inner = keras.layers.Dense(4)
        self.inner.build(shape)

    def call(self, inputs):
        return inputs @ self.matrix + self.inner(inputs)


@keras.saving.register_keras_serializable("tests")
class OwnDense(keras.layers.Dense):
    """Might use its kernel otherwise."""

    def call(self, inputs):
        return super().call(inputs)


@keras.saving.register_keras_serializable("tests")
class OwnCell(keras.layers.GRUCell):
    """Might use its kernels otherwise; its bias has two axes."""

    def build(self, shape):
        super().build(shape)


def obstacles():
    """Every reason why a kernel cannot be generated; two that are no such."""
    layers = keras.layers
    inner = keras.Input((5, 4))
    inner = keras.Model(
        inner, layers.Conv1DTranspose(4, 1, name="up")(inner), name="inner"
    )
    sequence = {"return_sequences": True}
    return sequences(
        layers.SimpleRNN(4, name="simple", **sequence),
        OwnDense(4, name="derived"),
        OwnWeight(name="own"),
        layers.LSTM(4, recurrent_constraint="non_neg", name="lstm", **sequence),
        layers.SpectralNormalization(layers.Dense(4), name="normed"),
        inner,
        layers.SimpleRNN(4, trainable=False, **sequence),
        layers.GRU(4, name="gru", **sequence),  # its bias has two axes
        layers.RNN(OwnCell(4), name="cells", **sequence),
    )


def test_what_cannot_be_shared_is_listed_with_the_reason():
    model = obstacles()
    found = unshared_kernels(model)
    assert [(k.layer, k.weight, k.shape) for k in found] == [
        ("simple/cell", "kernel", (4, 4)),
        ("simple/cell", "recurrent_kernel", (4, 4)),
        ("derived", "kernel", (4, 4)),
        ("own", "matrix", (4, 4)),
        ("lstm/cell", "recurrent_kernel", (4, 16)),
        ("normed", "kernel", (4, 4)),
        ("inner/up", "kernel", (1, 4, 4)),
        ("cells/cell", "kernel", (4, 12)),
        ("cells/cell", "recurrent_kernel", (4, 12)),
    ]
    simple, _, derived, own, lstm, normed, up, cell, _ = [
        kernel.reason for kernel in found
    ]
    assert simple.startswith("SimpleRNNCell is not a layer that can")
    assert derived.startswith(
        "OwnDense derives from Dense and overrides `call`"
    )
    assert own.startswith("OwnWeight is not a layer that can be shared")
    assert "constraint, NonNeg" in lstm
    assert normed == "'normed' and 'normed/layer' both hold it"
    assert up.startswith("Conv1DTranspose is not a layer that")
    assert cell.startswith("OwnCell derives from GRUCell and overrides `build`")


@pytest.mark.parametrize("build", [obstacles, everything])
def test_every_trained_matrix_is_shared_or_listed_or_in_a_head(build):
    model = build()
    lists = [
        [(path, weight) for path, _, weight in shareable_kernels(model)],
        [(kernel.layer, kernel.weight) for kernel in unshared_kernels(model)],
    ]
    assert not set(lists[0]) & set(lists[1])
    layers = dict(walk(model))
    listed = [
        id(getattr(layers[path], weight))
        for path, weight in lists[0] + lists[1]
    ]
    assert len(set(listed)) == len(listed)
    matrices = {
        id(variable)
        for variable in model.trainable_variables
        if len(variable.shape) > 1 and variable.name != "bias"
    }
    head = model.get_layer("head").kernel
    assert set(listed) == matrices - {id(head)}


def test_an_allocation_says_what_its_members_do_not_share():
    stack = [OwnDense(4), keras.layers.Dense(4)]
    members = [obstacles(), sequences(*stack)]
    allocation = allocate(members, 1.0, Independent())
    first, second = (member.unshared for member in allocation.members)
    assert first == unshared_kernels(obstacles())
    assert [kernel.size for kernel in second] == [16]
    assert Allocation.from_json(allocation.to_json()) == allocation
    lines = str(allocation).splitlines()[-2:]
    assert lines[0].startswith("Member 0, ") and lines[1].startswith("Member 1")
    # Kernels with one reason are named together.
    assert (
        "'simple/cell/kernel', 'simple/cell/recurrent_kernel' (32 scalars): "
        "SimpleRNNCell"
    ) in lines[0]
    for kernel in first:
        assert f"'{kernel.layer}/{kernel.weight}'" in lines[0]
        assert kernel.reason in lines[0]


def test_allocations_written_without_that_list_are_read():
    allocation = allocate(everything(), 1.0, Independent())
    data = json.loads(allocation.to_json())
    del data["members"][0]["unshared"]
    (member,) = Allocation.from_json(json.dumps(data)).members
    assert member.kernels == allocation.members[0].kernels
    assert member.unshared == ()
