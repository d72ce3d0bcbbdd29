import itertools
import random

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_superweights as ksw
from keras_superweights.sharing import HardSharing
from tests import builders

LAYERS = ("early", "deep", "all")
SCOPES = ("network", "members", "both")
EVERY = list(itertools.product(LAYERS, SCOPES))
SHAPE = (3, 3, 4, 4)


def half_of(kernels, layers):
    """Indices of the kernels that share, by the list of layers' names."""
    found = []
    for member in {kernel.member for kernel in kernels}:
        names = []
        for kernel in kernels:
            if kernel.member == member and kernel.layer not in names:
                names.append(kernel.layer)
        middle = (len(names) + 1) // 2
        half = {"early": names[:middle], "deep": names[middle:], "all": names}
        found += [
            index
            for index, kernel in enumerate(kernels)
            if kernel.member == member and kernel.layer in half[layers]
        ]
    return sorted(found)


def groups_by_pairs(kernels, layers, scope):
    """Joins every pair of kernels that are to be one, until none is left."""
    half = half_of(kernels, layers)

    def alike(i, j):
        a, b = kernels[i], kernels[j]
        return a.shape == b.shape and a.kind == b.kind

    def place(i):
        return sum(
            alike(i, j) and kernels[i].member == kernels[j].member
            for j in half
            if j < i
        )

    groups = [{index} for index in half]
    for i, j in itertools.combinations(half, 2):
        within = kernels[i].member == kernels[j].member
        if alike(i, j) and (
            (within and scope in ("network", "both"))
            or (
                not within
                and scope in ("members", "both")
                and place(i) == place(j)
            )
        ):
            joined = [group for group in groups if i in group or j in group]
            groups = [group for group in groups if group not in joined]
            groups.append(set().union(*joined))
    return {tuple(sorted(group)) for group in groups if len(group) > 1}


@pytest.mark.parametrize(("layers", "scope"), EVERY)
def test_groups_and_counts_equal_joining_pairs(layers, scope):
    draw = random.Random(layers + scope)
    rule = HardSharing(layers, scope)
    shared = 0
    for _ in range(60):
        members = builders.alike_members(draw)
        kernels = [kernel for member in members for kernel in member.kernels]
        groups = groups_by_pairs(kernels, layers, scope)
        saved = sum(
            (len(group) - 1) * kernels[group[0]].size for group in groups
        )
        needed = sum(member.num_params for member in members) - saved
        allocation = rule.allocate(members, needed)
        assert {s.kernels for s in allocation.superweights} == groups
        assert allocation.num_params == needed
        assert allocation.num_coefficients == 0
        assert allocation.note == ""
        builders.refuses_less(rule, members, needed)
        more = rule.allocate(members, needed + 7)
        assert more.num_params == needed
        assert more.note == "7 scalars are left: nothing can use more."
        shared += len(groups)
    assert shared > 20


@pytest.mark.parametrize(
    ("layers", "scope", "groups"),
    [
        # Five layers, the one in the middle early; three of the second member.
        ("early", "network", {(0, 1, 2), (5, 6)}),
        # Counted from where the deep half begins.
        ("deep", "members", {(3, 7)}),
        ("all", "both", {(0, 1, 2, 3, 4, 5, 6, 7)}),
    ],
)
def test_halves_of_odd_numbers_of_layers(layers, scope, groups):
    members = builders.members([SHAPE] * 5, [SHAPE] * 3)
    allocation = HardSharing(layers, scope).allocate(members, 2000)
    assert {s.kernels for s in allocation.superweights} == groups


def test_halves_are_counted_over_the_layers_that_are_chosen():
    members = [builders.member(*[SHAPE] * 6)]
    rule = HardSharing("early", exclude=["l0", "l1"])
    (superweight,) = rule.allocate(members, 2000).superweights
    assert superweight.kernels == (2, 3)


@pytest.mark.parametrize("scope", SCOPES)
def test_a_kernel_of_several_layers_gets_the_sum_of_their_gradients(scope):
    """Against plain Keras models with the same weights, one step of SGD."""

    def build():
        layers = [
            keras.layers.Conv2D(3, 3, activation="tanh", name=f"conv{i}")
            for i in range(4)
        ]
        head = [keras.layers.Flatten(), keras.layers.Dense(2)]
        return keras.Sequential([keras.Input((10, 10, 3)), *layers, *head])

    rule = HardSharing("deep", scope)
    network = ksw.SuperWeightNetwork([build, build], sharing=rule)
    size = sum(np.prod(v.shape) for v in network.trainable_variables)
    assert size == network.allocation.num_params
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    images = np.random.default_rng(0).normal(size=(8, 10, 10, 3))
    images, labels = images.astype("float32"), np.arange(8) % 2

    def kernels_of(models):
        return {
            (m, i): model.get_layer(f"conv{i}").kernel
            for m, model in enumerate(models)
            for i in range(4)
        }

    plain = network.materialize()
    with tf.GradientTape() as tape:
        value = sum(loss(labels, model(images)) for model in plain)
    before = {place: k.value for place, k in kernels_of(plain).items()}
    gradients = tape.gradient(value, before)
    network.compile(keras.optimizers.SGD(0.5), loss, run_eagerly=True)
    network.fit(images, labels, batch_size=8, verbose=0)
    after = kernels_of(network.materialize())

    together = {
        "network": [{(0, 2), (0, 3)}, {(1, 2), (1, 3)}],
        "members": [{(0, 2), (1, 2)}, {(0, 3), (1, 3)}],
        "both": [{(0, 2), (0, 3), (1, 2), (1, 3)}],
    }[scope]
    together += [{(m, i)} for m in range(2) for i in range(2)]
    for group in together:
        total = np.sum([gradients[place] for place in group], axis=0)
        assert np.abs(total).max() > 0
        for place in group:
            expected = before[place] - 0.5 * total
            np.testing.assert_allclose(after[place], expected, atol=1e-6)
    values = {
        after[place].numpy().tobytes()
        for place in itertools.product(range(2), (2, 3))
    }
    assert len(values) == len(together) - 4
