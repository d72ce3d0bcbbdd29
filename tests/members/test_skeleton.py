import keras
import numpy as np
import pytest

from keras_superweights.allocation import KernelSpec
from keras_superweights.keras_internals import has_value
from keras_superweights.members import allocating
from keras_superweights.members import cloning
from keras_superweights.members.allocating import allocate
from keras_superweights.members.allocating import describe
from keras_superweights.members.shareable import shareable_kernels
from keras_superweights.members.skeleton import skeletons
from keras_superweights.sharing import Independent
from keras_superweights.sharing import SuperWeights
from keras_superweights.training.network import SuperWeightNetwork
from tests.training.networks import small_net


def test_a_member_is_described_by_its_kernels_and_the_rest():
    (spec,) = describe([small_net(depth=2, name="net")])
    assert spec.name == "net"
    assert spec.kernels == (
        KernelSpec(0, "conv0", (3, 3, 2, 4)),
        KernelSpec(0, "conv1", (3, 3, 4, 4)),
        KernelSpec(0, "hidden", (4, 6)),
    )
    # One bias, gamma and beta twice, a bias, and the head.
    assert spec.other_params == 4 + 2 * 2 * 4 + 6 + (6 * 3 + 3)


def test_a_network_too_large_for_any_machine_can_be_planned():
    def build():
        inputs = keras.Input((10**6,))
        x = keras.layers.Dense(10**6)(inputs)
        x = keras.layers.Dense(10**6)(x)
        made.append(keras.Model(inputs, keras.layers.Dense(2)(x)))
        return made[-1]

    made = []
    allocation = allocate([build, build], 0.5, SuperWeights(depth_bins=1))
    assert allocation.num_params > 10**12
    # Which would initialize every variable that Keras knows without a value.
    with keras.StatelessScope():
        pass
    assert not any(has_value(v) for model in made for v in model.variables)


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
    other = cloning.generated_clone(model, source, keep_draws=False)
    head, same, fresh = (
        np.array(each.get_layer("head").kernel)
        for each in (model, clone, other)
    )
    np.testing.assert_array_equal(same, head)
    assert not np.allclose(fresh, head)


class Subclassed(keras.Model):
    def call(self, inputs):
        return inputs


def no_shareable_layer():
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])


BAD = {
    "none": ([], TypeError, "`members` must be"),
    "a number": (3, TypeError, "`members` must be"),
    "text": ("wide_resnet", TypeError, "`members` must be"),
    "not models": ([small_net, 3], TypeError, "member 1: 3"),
    "returns no model": ([lambda: None], TypeError, "member 0: None"),
    "subclassed": ([Subclassed()], ValueError, "of class Subclassed"),
    "unbuilt": (
        keras.Sequential(),
        ValueError,
        "Sequential model with `keras.I",
    ),
    "nothing to share": (
        [small_net, no_shareable_layer],
        ValueError,
        "needs a kernel to share. Received: member 1",
    ),
    "takes arguments": (lambda n: None, TypeError, "able without arguments"),
    "a layer": (keras.layers.Dense(3), TypeError, "Keras model or a function"),
}


@pytest.mark.parametrize(("members", "error", "message"), BAD.values(), ids=BAD)
def test_bad_members_are_refused(members, error, message):
    with pytest.raises(error, match=message):
        allocate(members, 1.2, SuperWeights())


@pytest.mark.parametrize(
    ("sharing", "message"),
    [
        ("independent", "sharing='independent'"),
        (dict, "class 'dict'"),
        (Independent, r"sharing=Independent\. Write `Independent\(\)`"),
        (SuperWeights, r"sharing=SuperWeights\. Write `SuperWeights\(\)`"),
    ],
)
def test_what_is_no_rule_is_refused(sharing, message):
    with pytest.raises(TypeError, match=f"`sharing` must be a rule.*{message}"):
        allocate(small_net, 1.2, sharing)


def test_a_network_is_no_member():
    for members in ([small_net()], [small_net(), small_net()]):
        network = SuperWeightNetwork(members, name="shared")
        for given in ([small_net(), network], lambda net=network: net):
            message = "'shared'.*SuperWeightNetwork already.*mater"
            with pytest.raises(TypeError, match=message):
                skeletons(given)


def test_what_is_no_allocation_is_refused():
    with pytest.raises(TypeError, match="must be an `Allocation`. .*='text'"):
        allocating.fitted_allocation([small_net()], "text")


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
    x = draw.normal(size=(5, 4))
    for model in (network.members[0], loaded.members[0], plain):
        for name in ("normal", "frozen"):
            found, expected = (m.get_layer(name) for m in (model, member))
            for one, other in zip(found.weights, expected.weights, strict=True):
                np.testing.assert_array_equal(one, other)
            np.testing.assert_allclose(found(x), expected(x), atol=1e-6)


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
    found = shareable_kernels(keras.Model(inputs, x))
    assert [path for path, _, _ in found] == ["shared"]


def test_batch_norm_without_scale_and_offset_is_not_frozen():
    def build():
        inputs = keras.Input((4,))
        x = keras.layers.Dense(5)(inputs)
        x = keras.layers.BatchNormalization(center=False, scale=False)(x)
        return keras.Model(inputs, keras.layers.Dense(3)(x))

    assert skeletons(build)
