import keras
import numpy as np
import pytest

from keras_superweights.keras_internals import replace_weight
from keras_superweights.members import cloning
from keras_superweights.members.allocating import allocate
from keras_superweights.members.skeleton import skeletons
from keras_superweights.sharing import SuperWeights
from keras_superweights.training.network import SuperWeightNetwork


def unnamed(units):
    """A model whose layers Keras names, with other numbers every time."""
    inputs = keras.Input((6,))
    x = keras.layers.Dense(units)(inputs)
    x = keras.layers.Dense(units)(x)
    return keras.Model(inputs, keras.layers.Dense(3)(x))


def uninitialized(model):
    return [v for v in model.variables if v._value is None]


def test_what_is_built_without_memory_stays_without():
    with cloning.without_memory():
        model = unnamed(8)
    assert uninitialized(model) == model.variables
    # Both make Keras initialize whatever it knows to be without a value.
    keras.layers.Lambda(lambda x: 2 * x)(keras.Input((4,)))
    with keras.StatelessScope():
        pass
    assert uninitialized(model) == model.variables


def test_a_failing_function_leaves_no_trace_either():
    made = []

    def fails():
        made.append(unnamed(8))
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        skeletons(fails)
    with keras.StatelessScope():
        pass
    assert uninitialized(made[0]) == made[0].variables


def test_an_allocation_serves_functions_called_again():
    functions = [lambda: unnamed(4), lambda: unnamed(6)]
    allocation = allocate(functions, 1.0, SuperWeights())
    network = SuperWeightNetwork(functions, allocation=allocation)
    x = np.random.default_rng(0).normal(size=(5, 6)).astype("float32")
    outputs = network.member_outputs(x, training=True)
    for plain, output in zip(network.materialize(), outputs, strict=True):
        np.testing.assert_allclose(plain(x), output, atol=1e-6)


class Unregistered(keras.layers.Layer):
    def call(self, inputs):
        return 2 * inputs


def member_with(layer):
    inputs = keras.Input((6,))
    x = layer(keras.layers.Dense(4)(inputs))
    return keras.Model(inputs, keras.layers.Dense(3)(x), name="custom")


def test_custom_objects_reach_the_members(tmp_path):
    names = {"Unregistered": Unregistered}
    with keras.saving.custom_object_scope(names):
        network = SuperWeightNetwork(member_with(Unregistered()))
        network.save(tmp_path / "n.keras")
    loaded = keras.models.load_model(tmp_path / "n.keras", custom_objects=names)
    x = np.ones((2, 6), "float32")
    np.testing.assert_allclose(loaded(x), network(x), atol=1e-6)


def test_a_member_that_cannot_be_rebuilt_is_refused_at_once():
    with pytest.raises(ValueError, match=r"rebuild 'unregistered.*' \(Unreg"):
        SuperWeightNetwork(member_with(Unregistered()))


@pytest.mark.parametrize(
    "part", [lambda n: n.members[0], lambda n: n.generator]
)
def test_what_the_user_froze_stays_frozen(part, tmp_path):
    network = SuperWeightNetwork([unnamed(4), unnamed(6)])
    part(network).trainable = False
    network.compile(
        keras.optimizers.SGD(0.1, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        run_eagerly=True,
    )
    x = np.random.default_rng(0).normal(size=(8, 6)).astype("float32")
    y = np.arange(8) % 3
    network.train_on_batch(x, y)
    network.save(tmp_path / "n.keras")
    loaded = keras.models.load_model(tmp_path / "n.keras")
    loaded.run_eagerly = True
    assert not part(loaded).trainable
    assert len(loaded.trainable_variables) == len(network.trainable_variables)
    assert int(loaded.optimizer.iterations) == 1
    for each in (network, loaded):
        each.train_on_batch(x, y)
    for one, other in zip(network.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_weight_that_two_layers_hold_keeps_its_place():
    one, other = keras.layers.LayerNormalization(), keras.layers.GRUCell(2)
    one.build((None, 4))
    other.build((None, 4))
    kernel, recurrent, bias = other.weights
    replace_weight(other, "recurrent_kernel", one.gamma)
    assert other.recurrent_kernel is one.gamma
    for found, expected in zip(
        other.weights, (kernel, one.gamma, bias), strict=True
    ):
        assert found is expected
    with pytest.raises(ValueError, match="cannot add new elements of state"):
        other.more = keras.Variable([1.0])
