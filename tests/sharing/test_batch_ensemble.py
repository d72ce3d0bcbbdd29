"""BatchEnsemble against NumPy, scaled activations and the published figures."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_superweights as ksw
from keras_superweights.allocation import Allocation
from keras_superweights.allocation.vectors import VectorSpec
from keras_superweights.allocation.vectors import check_common
from keras_superweights.keras_internals import without_memory
from keras_superweights.sharing import BatchEnsemble
from keras_superweights.sharing import HardSharing
from tests import builders
from tests.training.networks import batch_of
from tests.training.networks import compiled
from tests.training.networks import crossentropy
from tests.training.networks import small_net


def ensemble(members, start=-0.5, rate=1.0, optimizer=None):
    rule = BatchEnsemble(start, rate)
    network = ksw.SuperWeightNetwork(members, 10_000, rule)
    return compiled(network, optimizer)


def factors(network, index):
    """Both vectors of a kernel, `r` and `s`."""
    layer = network.generator.transforms[index]
    return np.array(layer.inputs), np.array(layer.outputs)


def test_a_step_is_the_chain_rule_through_plain_members():
    """By NumPy from gradients of plain Keras models' own kernels."""
    network = ensemble([small_net(depth=2) for _ in range(2)], rate=0.5)
    network.weight_decay = 0.1
    x, y = batch_of()
    kernels = network.allocation.kernels
    gradients = {}
    for member, plain in enumerate(network.materialize()):
        names = [k.layer for k in kernels if k.member == member]
        own = [plain.get_layer(name).kernel for name in names]
        with tf.GradientTape() as tape:
            loss = crossentropy()(y, plain(x, training=True))
        for name, g in zip(names, tape.gradient(loss, own), strict=True):
            gradients[member, name] = np.array(g)
    expected = {}
    for index, superweight in enumerate(network.allocation.superweights):
        spec = kernels[superweight.kernels[0]]
        bank = network.generator.banks[superweight.bank].store
        kernel = np.array(bank).reshape(spec.shape)
        gradient = 0.1 * kernel  # decay, not of the vectors
        for k in superweight.kernels:
            of = gradients[kernels[k].member, kernels[k].layer]
            r, s = factors(network, k)
            gradient = gradient + of * np.outer(r, s)
            product = (of * kernel).reshape(-1, *spec.box).sum(axis=0)
            expected["r", k] = r - 0.5 * product @ s
            expected["s", k] = s - 0.5 * r @ product
        expected["W", index] = kernel - gradient
    network.train_on_batch(x, y)  # SGD with a rate of 1
    for (name, index), value in expected.items():
        if name == "W":
            bank = network.allocation.superweights[index].bank
            found = np.array(network.generator.banks[bank].store)
        else:
            found = factors(network, index)["rs".index(name)]
        np.testing.assert_allclose(found, np.ravel(value), rtol=1e-4, atol=1e-5)


def test_a_rate_is_a_factor_of_adams_updates():
    """Which are blind to the scale of gradients."""
    moves = {}
    for rate in (1.0, 0.5, 0.0):
        keras.utils.set_random_seed(0)
        adam = keras.optimizers.Adam(0.01)
        members = [small_net(depth=1)] * 2
        network = ensemble(members, rate=rate, optimizer=adam)
        before, store = factors(network, 0), network.generator.banks[0].store
        stored = np.array(store)
        network.train_on_batch(*batch_of())
        moves[rate] = factors(network, 0)[0] - before[0]
        assert np.abs(np.array(store) - stored).max() > 0.005
    assert np.abs(moves[1.0]).max() > 0.005
    np.testing.assert_allclose(moves[0.5], moves[1.0] / 2, atol=1e-6)
    assert not moves[0.0].any()


LAYERS = {
    "stride": lambda: keras.layers.Conv2D(6, 3, strides=2),
    "dilation": lambda: keras.layers.Conv2D(6, 3, dilation_rate=2),
    "groups": lambda: keras.layers.Conv2D(6, 3, groups=2, padding="same"),
    "dense": lambda: keras.layers.Dense(6),
}


@pytest.mark.parametrize("name", LAYERS)
def test_scaled_activations_answer_the_same(name):
    """`y = ((x * a) W) * g + b`, one layer for all members."""

    def member():
        inputs = keras.Input((7, 7, 4))
        x = LAYERS[name]()(inputs)
        x = keras.layers.GlobalAveragePooling2D()(x)
        return keras.Model(inputs, keras.layers.Dense(3)(x))

    network = ensemble([member(), member()])
    x = np.random.default_rng(0).normal(size=(2, 7, 7, 4)).astype("float32")
    bank = network.generator.banks[0]
    for index, model in enumerate(network.members):
        shared = LAYERS[name]()
        shared.build(x.shape)
        shared.kernel.assign(np.reshape(bank.store, shared.kernel.shape))
        a, g = factors(network, 2 * index)  # its head is the next
        model.layers[1].bias.assign(bias := np.arange(6.0))
        scaled = np.tile(a, 4 // len(a))  # a group reads its own inputs
        expected = np.array(shared(x * scaled)) * g + bias
        np.testing.assert_allclose(
            model.layers[1](x), expected, rtol=1e-5, atol=1e-5
        )


def test_one_member_of_ones_is_the_plain_network_bit_for_bit():
    network = ensemble([small_net(depth=1)], start="ones")
    x, _ = batch_of()
    (plain,) = network.materialize()
    kernel = np.array(network.generator.banks[0].store).reshape(3, 3, 2, 4)
    np.testing.assert_array_equal(plain.get_layer("conv0").kernel, kernel)
    np.testing.assert_array_equal(network(x), plain(x))


@pytest.mark.parametrize(
    ("alpha", "gamma", "differ"),
    [
        ("ones", "ones", False),
        (0, 0, False),  # the poster's negative values: all -1
        (1, 0.2, True),  # the poster's choice
        (-0.5, 0, True),
    ],
)
def test_constant_starts_are_copies_for_ever(alpha, gamma, differ):
    """The 81 cells of the poster's grid fall apart by just this.

    stefanielnz/P7_BatchEnsemble, `alpha_gamma_results.csv`: 36 cells of
    constant vectors reach 67.6 to 72.2 % on CIFAR-10, all others 74.8 to
    78.4 %. Heads start equal here, as one shared head does there.
    """
    members = [small_net(depth=1) for _ in range(2)]
    network = ensemble(members, (alpha, gamma))
    one, other = network.members
    other.get_layer("head").set_weights(one.get_layer("head").get_weights())
    x, y = batch_of()
    for _ in range(2):
        network.train_on_batch(x, y)
    outputs = [np.array(each) for each in network.member_outputs(x)]
    assert np.array_equal(*outputs) != differ
    norms = [m.get_layer("norm0").get_weights() for m in (one, other)]
    assert all(map(np.array_equal, *norms)) != differ


def test_members_of_other_architectures_are_refused():
    members = [small_net(), small_net(depth=2)]
    with pytest.raises(ValueError, match="same architecture.*HardSharing"):
        ksw.allocate(members, 1.0, BatchEnsemble())


def test_counts_are_kernels_once_and_vectors_of_each_member():
    members = builders.members(*[[(3, 3, 4, 8), (8, 5)]] * 3, other_params=7)
    needed = 288 + 40 + 3 * (4 + 8 + 8 + 5 + 7)
    allocation = BatchEnsemble().allocate(members, needed)
    assert allocation.num_params == needed
    builders.refuses_less(BatchEnsemble(), members, needed)


def poster_vgg11():
    """The poster's "complex" network, with what Keras has of it."""
    x = inputs = keras.Input((32, 32, 3))
    filters = (64, 128, 256, 256, 512, 512, 512, 512)
    for index, width in enumerate(filters, start=1):
        x = keras.layers.Conv2D(width, 3, padding="same")(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
        if index in (1, 2, 4, 6, 8):
            x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.Dense(512, activation="relu")(keras.layers.Flatten()(x))
    return keras.Model(inputs, keras.layers.Dense(10)(x))


ONE_NORM = BatchEnsemble(also_shared="normalization")
NETWORKS = {
    "wide resnet 100": lambda: ksw.models.wide_resnet(28, 10, 100),
    "wide resnet 10": lambda: ksw.models.wide_resnet(28, 10, 10),
    "vgg11": lambda: ksw.models.vgg11(10),
    "poster": poster_vgg11,
}


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        # Counted from google/uncertainty-baselines,
        # `wide_resnet_batchensemble.py`; `None` is ensemble batch norm.
        ("wide resnet 100", {(4, ONE_NORM): 36_615_868, (4, None): 36_669_724}),
        ("wide resnet 10", {(4, ONE_NORM): 36_557_548, (4, None): 36_611_404}),
        # `vgg11` of this library; all its layers as one, also their heads.
        (
            "vgg11",
            {(4, None): 9_266_972, (8, None): 9_311_096}
            | {(e, ONE_NORM): 9_233_879 + 5_527 * (e - 1) for e in (1, 4, 9)}
            | {
                (8, HardSharing(scope="members")): 9_302_800,
                (8, HardSharing(scope="members", heads=True)): 9_266_960,
            },
        ),
        # stefanielnz/P7_BatchEnsemble, counted by building it.
        (
            "poster",
            {(2, None): 9_515_630, (4, None): 9_546_268, (8, None): 9_607_544},
        ),
    ],
)
def test_published_networks_have_their_numbers_of_parameters(name, counts):
    with without_memory():
        model = NETWORKS[name]()
    for (members, rule), scalars in counts.items():
        rule = rule or BatchEnsemble()
        allocation = ksw.allocate([model] * members, 40_000_000, rule)
        assert allocation.num_params == scalars
        assert f"{scalars:,} trainable scalars" in str(allocation)
        assert Allocation.from_json(allocation.to_json()) == allocation


@pytest.mark.parametrize("shared", [(), "bias", ("bias", "normalization")])
def test_members_have_in_common_what_they_are_told_to(shared):
    rule = BatchEnsemble(also_shared=shared)
    models = [small_net(depth=1), small_net(depth=1)]
    network = ksw.SuperWeightNetwork(models, 10_000, rule)
    sizes = [np.prod(v.shape) for v in network.trainable_variables]
    scalars = network.allocation.num_params
    assert sum(sizes) == scalars
    plan = ksw.planning.plan_training(models, network.allocation)
    assert plan.shared.parameters == 4 * scalars
    for layer, weight, kind in (
        ("conv0", "bias", "bias"),
        ("head", "bias", "bias"),
        ("norm0", "beta", "normalization"),
    ):
        one, other = (
            getattr(member.get_layer(layer), weight)
            for member in network.members
        )
        assert (one is other) == (kind in shared)


def test_common_vectors_learn_from_all_and_are_saved_and_exported(tmp_path):
    rule = BatchEnsemble(also_shared=("bias", "normalization"))
    models = [small_net(depth=1) for _ in range(2)]
    models[1].set_weights(models[0].get_weights())
    models[1].get_layer("norm0").beta.assign([1.0, 2.0, 3.0, 4.0])
    network = compiled(
        ksw.SuperWeightNetwork(models, 10_000, rule, initialize="weights")
    )
    norms = [member.get_layer("norm0") for member in network.members]
    np.testing.assert_allclose(norms[0].beta, [0.5, 1.0, 1.5, 2.0])
    x, y = batch_of()
    network.train_on_batch(x, y)
    # Statistics are each member's own, or plain models would answer otherwise.
    assert not np.array_equal(*(norm.moving_mean for norm in norms))
    for plain, output in zip(
        network.materialize(), network.member_outputs(x), strict=True
    ):
        np.testing.assert_allclose(plain(x), output, rtol=1e-5, atol=1e-6)
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    assert loaded.allocation == network.allocation
    np.testing.assert_array_equal(loaded(x), network(x))
    one, other = (member.get_layer("norm0") for member in loaded.members)
    assert one.gamma is other.gamma


def test_vectors_that_cannot_be_one_are_refused():
    vectors = [
        VectorSpec(member, "norm", (size,), "beta", "normalization")
        for member in range(3)
        for size in (4, 6)
    ]
    check_common(((0, 2, 4), (1, 3)), vectors)
    for group in ((0,), (0, 0), (0, 1), (0, 6), (0, -2), (0, 2.0), (0, True)):
        with pytest.raises(ValueError, match="`common` must be of groups"):
            check_common((group,), vectors)
    with pytest.raises(ValueError, match="none twice"):
        check_common(((0, 2), (4, 2)), vectors)
    with pytest.raises(TypeError, match="`heads` must be .*bool.*'yes'"):
        HardSharing(heads="yes")
    with pytest.raises(ValueError, match="`also_shared`.*'head'"):
        BatchEnsemble(also_shared="head")
