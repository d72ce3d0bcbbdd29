"""Why kernels cannot be shared, and where it is said."""

import keras
import pytest

from keras_superweights.allocation import Allocation
from keras_superweights.layers import walk
from keras_superweights.members.allocating import allocate
from keras_superweights.members.shareable import shareable_kernels
from keras_superweights.members.shareable import unshared_kernels
from keras_superweights.sharing import Independent
from tests.members.builders import everything
from tests.members.builders import sequences


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
    """Has kernels with every reason not to be shared, and two with none."""
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


UNKNOWN = "{} is not a layer that can be shared"
SIMPLE = UNKNOWN.format("SimpleRNNCell")
DERIVED = "{} derives from {} and overrides `{}`"
CELL = DERIVED.format("OwnCell", "GRUCell", "build")
REASONS = [
    ("simple/cell", "kernel", (4, 4), SIMPLE),
    (
        "simple/cell",
        "recurrent_kernel",
        (4, 4),
        UNKNOWN.format("SimpleRNNCell"),
    ),
    ("derived", "kernel", (4, 4), DERIVED.format("OwnDense", "Dense", "call")),
    ("own", "matrix", (4, 4), UNKNOWN.format("OwnWeight")),
    ("lstm/cell", "recurrent_kernel", (4, 16), "its constraint, NonNeg"),
    ("normed", "kernel", (4, 4), "'normed' and 'normed/layer' both hold it"),
    ("inner/up", "kernel", (1, 4, 4), UNKNOWN.format("Conv1DTranspose")),
    ("cells/cell", "kernel", (4, 12), CELL),
    ("cells/cell", "recurrent_kernel", (4, 12), CELL),
]


def test_what_cannot_be_shared_is_listed_with_the_reason():
    found = unshared_kernels(obstacles())
    for kernel, (*names, reason) in zip(found, REASONS, strict=True):
        assert [kernel.layer, kernel.weight, kernel.shape] == names
        assert kernel.reason.startswith(reason)


@pytest.mark.parametrize("build", [obstacles, everything])
def test_every_trained_matrix_is_shared_or_listed_or_in_a_head(build):
    model = build()
    names = [(path, weight) for path, _, weight in shareable_kernels(model)]
    names += [
        (kernel.layer, kernel.weight) for kernel in unshared_kernels(model)
    ]
    layers = dict(walk(model))
    listed = [id(getattr(layers[path], weight)) for path, weight in names]
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
