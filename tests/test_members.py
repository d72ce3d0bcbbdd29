import math

import keras
import numpy as np
import pytest

from keras_superweights import cloning
from keras_superweights import members as member_models
from keras_superweights.allocation import KernelSpec
from keras_superweights.members import allocate
from keras_superweights.members import describe
from keras_superweights.members import shareable_kernels
from keras_superweights.members import skeletons
from keras_superweights.network import SuperWeightNetwork
from keras_superweights.sharing import Independent
from keras_superweights.sharing import SuperWeights


def small_net(classes=3, side=6, activation=None, name=None):
    inputs = keras.Input((side, side, 2))
    x = keras.layers.Conv2D(4, 3, name="conv0")(inputs)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Conv2D(4, 3, name="conv1")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    outputs = keras.layers.Dense(classes, activation, name="head")(x)
    return keras.Model(inputs, outputs, name=name)


def test_a_member_is_described_by_its_kernels_and_the_rest():
    (spec,) = describe([small_net(name="net")])
    assert spec.name == "net"
    assert spec.kernels == (
        KernelSpec(0, "conv0", (3, 3, 2, 4)),
        KernelSpec(0, "conv1", (3, 3, 4, 4)),
    )
    # Two biases, gamma and beta, and the head.
    assert spec.other_params == 4 + 4 + 2 * 4 + (4 * 3 + 3)


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


def test_a_layer_inside_and_outside_of_a_model_is_refused():
    layer = keras.layers.Dense(4)
    inner = keras.Input((5, 4))
    inner = keras.Model(inner, layer(inner))
    model = sequences(inner, layer)
    with pytest.raises(ValueError, match="has 4 weights, and 6 when"):
        skeletons(model)


def test_stateful_layers_are_refused():
    inputs = keras.Input(batch_shape=(2, 5, 4))
    x = keras.layers.GRU(3, stateful=True, name="gru")(inputs)
    with pytest.raises(ValueError, match=r"\['gru'\]. Pass `stateful=False`"):
        skeletons(keras.Model(inputs, keras.layers.Dense(3)(x)))


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


def test_a_subclass_of_a_layer_is_not_shared():
    class Special(keras.layers.Dense):
        pass

    inputs = keras.Input((4,))
    x = Special(4, name="special")(keras.layers.Dense(4, name="d")(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(x))
    assert paths(model) == ["d"]


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


def test_functions_are_built_without_memory():
    made = []

    def build():
        made.append(
            keras.Sequential(
                [keras.Input((8,)), *[keras.layers.Dense(8)] * 0]
                + [keras.layers.Dense(8) for _ in range(3)]
            )
        )
        return made[0]

    allocate(build, 0.9, SuperWeights(depth_bins=1))
    (model,) = made
    assert model.count_params() == 3 * (64 + 8)
    assert all(variable._value is None for variable in model.variables)


def test_a_network_too_large_for_any_machine_can_be_planned():
    def build():
        inputs = keras.Input((10**6,))
        x = keras.layers.Dense(10**6)(inputs)
        x = keras.layers.Dense(10**6)(x)
        return keras.Model(inputs, keras.layers.Dense(2)(x))

    allocation = allocate([build, build], 0.5, SuperWeights(depth_bins=1))
    assert allocation.num_params > 10**12
    # Which would initialize every variable that Keras knows without a value.
    with keras.StatelessScope():
        pass


def test_a_single_model_is_an_ensemble_of_one():
    model = small_net()
    assert skeletons(model) == skeletons([model]) == [model]
    assert len(skeletons(small_net)) == 1


def test_cloning_leaves_the_member_alone():
    model = small_net()
    before = [np.array(v) for v in model.weights]
    source = {"conv1": {"kernel": lambda: keras.ops.zeros((3, 3, 4, 4))}}
    clone = cloning.generated_clone(model, source, keep_draws=True)
    assert len(clone.weights) == len(model.weights) - 1
    for variable, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    assert np.abs(clone.get_layer("conv1").kernel).max() == 0
    np.testing.assert_array_equal(
        clone.get_layer("head").kernel, model.get_layer("head").kernel
    )
    other = cloning.generated_clone(model, source, keep_draws=False)
    assert not np.allclose(
        other.get_layer("head").kernel, model.get_layer("head").kernel
    )


class Subclassed(keras.Model):
    def call(self, inputs):
        return inputs


def sequential(*layers):
    return keras.Sequential([keras.Input((6, 6, 2)), *layers])


def no_shareable_layer():
    return sequential(keras.layers.Flatten(), keras.layers.Dense(3))


def two_outputs():
    inputs = keras.Input((6, 6, 2))
    x = keras.layers.Flatten()(keras.layers.Conv2D(4, 3)(inputs))
    outputs = [keras.layers.Dense(3)(x), keras.layers.Dense(3)(x)]
    return keras.Model(inputs, outputs)


def softmax_layer():
    return sequential(
        keras.layers.Conv2D(4, 3),
        keras.layers.Flatten(),
        keras.layers.Dense(3),
        keras.layers.Softmax(),
    )


def softmax_activation():
    return sequential(
        keras.layers.Conv2D(4, 3),
        keras.layers.Flatten(),
        keras.layers.Dense(3),
        keras.layers.Activation("softmax"),
    )


def feature_map():
    return sequential(keras.layers.Conv2D(4, 3), keras.layers.Conv2D(4, 3))


BAD = {
    "none": ([], TypeError, "`members` must be"),
    "a number": (3, TypeError, "`members` must be"),
    "text": ("wide_resnet", TypeError, "`members` must be"),
    "not models": ([small_net, 3], TypeError, "member 1: 3"),
    "returns no model": ([lambda: None], TypeError, "member 0: None"),
    "subclassed": ([Subclassed()], ValueError, "of class Subclassed"),
    "unbuilt": (
        [keras.Sequential([keras.layers.Dense(3)])],
        ValueError,
        "begin a Sequential model with `keras.Input`",
    ),
    "nothing to share": (
        [no_shareable_layer],
        ValueError,
        "needs a kernel to share",
    ),
    "one of two with nothing to share": (
        [small_net, no_shareable_layer],
        ValueError,
        "member 1",
    ),
    "classes": (
        [small_net, lambda: small_net(5)],
        ValueError,
        r"same output shape.*\(None, 3\).*\(None, 5\)",
    ),
    "input shapes": (
        [small_net, lambda: small_net(side=7)],
        ValueError,
        "same input shape",
    ),
    "two outputs": ([small_net, two_outputs], ValueError, "2 outputs"),
    "softmax head": (
        [lambda: small_net(activation="softmax")] * 2,
        ValueError,
        "must return logits",
    ),
    "sigmoid head": (
        [lambda: small_net(activation="sigmoid")] * 2,
        ValueError,
        "must return logits",
    ),
    "softmax layer": ([softmax_layer] * 2, ValueError, "must return logits"),
    "softmax activation": (
        [softmax_activation] * 2,
        ValueError,
        "must return logits",
    ),
    "feature maps": ([feature_map] * 2, ValueError, "output shape"),
    "one class": (
        [lambda: small_net(1)] * 2,
        ValueError,
        "two classes or more",
    ),
}


@pytest.mark.parametrize(("members", "error", "message"), BAD.values(), ids=BAD)
def test_bad_members_are_refused(members, error, message):
    with pytest.raises(error, match=message):
        allocate(members, 1.2, SuperWeights())


@pytest.mark.parametrize("sharing", [None, "independent", SuperWeights, dict])
def test_what_is_no_rule_is_refused(sharing):
    with pytest.raises(TypeError, match="`sharing` must be a rule"):
        allocate(small_net, 1.2, sharing)


def test_the_class_of_a_rule_is_told_from_a_rule():
    for rule in (Independent, SuperWeights):
        written = rf"sharing={rule.__name__}\. Write `{rule.__name__}\(\)`"
        with pytest.raises(TypeError, match=written):
            allocate(small_net, 1.2, rule)


def test_a_network_is_no_member():
    for members in ([small_net()], [small_net(), small_net()]):
        network = SuperWeightNetwork(members, name="shared")
        for given in ([small_net(), network], lambda net=network: net):
            with pytest.raises(
                TypeError, match="'shared'.*SuperWeightNetwork already.*mater"
            ):
                skeletons(given)


def test_a_head_with_softmax_is_fine_in_a_network_of_one():
    (model,) = skeletons([lambda: small_net(activation="softmax")])
    assert describe([model])


def test_an_allocation_for_other_models_is_refused():
    allocation = allocate(small_net, 1.0, Independent())
    member_models.fitted_allocation([small_net()], allocation)
    with pytest.raises(ValueError, match="made for 1 members. Received: 2"):
        member_models.fitted_allocation([small_net()] * 2, allocation)
    with pytest.raises(ValueError, match="does not fit member 0"):
        member_models.fitted_allocation([small_net(4)], allocation)
    with pytest.raises(TypeError, match="must be an `Allocation`"):
        member_models.fitted_allocation([small_net()], allocation.to_json())


def member_with_a_frozen_layer():
    inputs = keras.Input((4,))
    x = keras.layers.Normalization(name="normal")(inputs)
    frozen = keras.layers.Dense(5, name="frozen")
    frozen.trainable = False
    x = keras.layers.Dense(6, name="shared")(frozen(x))
    return keras.Model(inputs, keras.layers.Dense(3, name="head")(x))


def test_layers_that_are_not_trained_keep_their_values(tmp_path):
    member = member_with_a_frozen_layer()
    draw = np.random.default_rng(0)
    member.get_layer("normal").adapt(3 + draw.normal(size=(50, 4)))
    network = SuperWeightNetwork([member])
    network.save(tmp_path / "n.keras")
    loaded = keras.models.load_model(tmp_path / "n.keras")
    (plain,) = network.materialize()
    for name in ("normal", "frozen"):
        expected = member.get_layer(name).get_weights()
        for model in (network.members[0], loaded.members[0], plain):
            found = model.get_layer(name).get_weights()
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_array_equal(one, other)


def test_a_function_whose_values_would_be_lost_is_refused():
    with pytest.raises(ValueError, match=r"\['normal', 'frozen'\]"):
        skeletons(member_with_a_frozen_layer)


def test_a_small_network_fits_the_default_budget():
    inputs = keras.Input((4,))
    x = keras.layers.Dense(6)(inputs)
    member = keras.Model(inputs, keras.layers.Dense(3)(x))
    network = SuperWeightNetwork(member)
    assert network.allocation.num_params == member.count_params()


def test_merges_after_the_head_cost_nothing():
    inputs = keras.Input((4,))
    x = keras.layers.Dense(5, name="shared")(inputs)
    x = keras.layers.Dense(3, name="head")(x)
    for _ in range(60):  # 2 ** 60 ways back to the head
        x = keras.layers.Add()([x, x])
    assert paths(keras.Model(inputs, x)) == ["shared"]


def test_batch_norm_without_scale_and_offset_is_not_frozen():
    def build():
        inputs = keras.Input((4,))
        x = keras.layers.Dense(5)(inputs)
        x = keras.layers.BatchNormalization(center=False, scale=False)(x)
        return keras.Model(inputs, keras.layers.Dense(3)(x))

    assert skeletons(build)


def test_what_is_not_a_function_of_nothing_is_refused():
    with pytest.raises(TypeError, match="callable without arguments"):
        skeletons(lambda size: None)
    with pytest.raises(TypeError, match="must be a Keras model or a function"):
        skeletons(keras.layers.Dense(3))
