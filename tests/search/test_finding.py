"""The whole search on tiny members, with structure planted in them."""

import keras
import numpy as np
import pytest

import keras_superweights as ksw
from keras_superweights.search import find_clusters
from tests.builders import dtype_policy
from tests.search.networks import batches
from tests.search.networks import dense_net
from tests.search.networks import network_of
from tests.search.networks import plain_gradients
from tests.search.networks import rows_of
from tests.search.planted import dataset
from tests.search.planted import members_of
from tests.search.planted import planted
from tests.search.planted import search

SIGNS = (1, -1, 1, -1, -1)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("sketch_size", [None, 8])
def test_planted_structure_is_found(sketch_size, dtype, eager):
    with dtype_policy(dtype):
        members = members_of(SIGNS, (4, 6, 4, 3, 6))
    assert members[0].get_layer("shared").dtype_policy.name == dtype
    found = search(members, sketch_size=sketch_size)
    assert set(found.allocation.clusters) == {(0, 2), (1, 3, 4)}
    (similarity,) = found.similarities
    expected = np.outer(SIGNS, SIGNS)
    np.testing.assert_array_equal(np.sign(similarity), expected)
    if sketch_size is None:
        np.testing.assert_allclose(similarity, expected, atol=0.05)
    assert found.start.clusters == ((0, 1, 2, 3, 4),)
    assert found.unused == ()
    assert [t.tau for t in found.tries] == [0.1]


def test_planted_structure_is_found_by_compiled_steps():
    found = search(members_of((1, -1, 1), (4, 6, 4)), sketch_size=8)
    assert set(found.allocation.clusters) == {(0, 2), (1,)}


def test_a_network_can_be_made_of_the_result(eager):
    members = members_of((1, -1, 1, -1), (4, 6, 4, 6))
    budget = 90
    for beta, are_copies in ((None, True), (-1, False)):
        found = search(members, budget_params=budget, beta=beta)
        network = ksw.SuperWeightNetwork(members, allocation=found.allocation)
        scalars = sum(np.prod(v.shape) for v in network.trainable_variables)
        assert scalars == found.allocation.num_params <= budget
        one, other, same, too = (
            member.get_layer("shared").kernel.numpy()
            for member in network.members
        )
        assert np.array_equal(one, same) == are_copies
        assert np.array_equal(other, too) == are_copies
        assert not np.allclose(one, other[:, :4])


def test_both_similarities_are_those_of_plain_models_in_the_last_epoch(eager):
    """At rate 0 the network stays as it was; psi_C is `<dL/dW, T>`."""
    rule = ksw.sharing.SuperWeights(depth_bins=1, tied=True)
    data = batches((5,))
    members = [dense_net(4), dense_net(6)]
    keras.utils.set_random_seed(4)
    measured = ksw.search.measure_similarity(
        members,
        1.5,
        (batch for batch in data * 2),
        rule,
        weight_decay=0.0,
        pretrain_epochs=2,
        steps_per_epoch=len(data),
        optimizer=keras.optimizers.SGD(0.0),
        verbose=0,
    )
    keras.utils.set_random_seed(4)
    twin = network_of(members, rule)
    assert twin.allocation == measured.start
    gradients = plain_gradients(twin, data)
    projected = {k: [] for k in range(len(gradients))}
    for superweight, templates in zip(
        measured.start.superweights, twin.generator.all_templates(), strict=True
    ):
        rows = rows_of(measured.start, superweight, gradients)
        products = rows @ np.array(templates).T
        for kernel, own in projected.items():
            mixed = np.full(superweight.num_templates, np.nan)
            if kernel in superweight.kernels and superweight.ties:
                mixed = products[superweight.kernels.index(kernel)]
            own.extend(mixed)
    for similarities, of in (
        (measured.similarities, cropped_cosine),
        (measured.coefficient_similarities, common_cosine),
    ):
        vectors = gradients if of is cropped_cosine else projected
        clusters = rule.start_clusters(measured.start.members)
        for cluster, similarity in zip(clusters, similarities, strict=True):
            expected = [
                [of(vectors[i], vectors[j]) for j in cluster.kernels]
                for i in cluster.kernels
            ]
            np.testing.assert_allclose(similarity, expected, atol=1e-4)


def cropped_cosine(one, other):
    height, width = np.minimum(one.shape, other.shape)
    return cosine(one[:height, :width], other[:height, :width])


def common_cosine(one, other):
    common = ~np.isnan(one) & ~np.isnan(other)
    return cosine(np.array(one)[common], np.array(other)[common])


def cosine(one, other):
    norm = np.linalg.norm(one) * np.linalg.norm(other)
    return one.ravel() @ other.ravel() / norm


def test_tau_is_lowered_where_clusters_do_not_fit(eager):
    members = members_of((1, -1, 1), (4, 4, 4))
    # One template of 20 and three coefficients: no room for another cluster.
    found = search(members, budget_params=23 + 9 + 5)
    assert set(found.allocation.clusters) == {(0, 1, 2)}
    taus = [t.tau for t in found.tries]
    np.testing.assert_allclose(np.diff(taus), -0.05)
    assert taus[0] == 0.1 and -1 <= taus[-1] < -0.9


def test_an_unused_layer_is_reported_and_shares_with_none(eager):
    members = [planted(1, 4), planted(1, 4, unused=True), planted(1, 4)]
    found = search(members)
    kernels = found.allocation.kernels
    assert [kernels[k].layer for k in found.unused] == ["unused"]
    assert all(np.isfinite(s).all() for s in found.similarities)
    assert found.unused in set(found.allocation.clusters)


def test_the_same_seed_finds_the_same(eager):
    members = members_of((1, -1, 1), (4, 6, 4))
    one, other = search(members), search(members)
    assert one.allocation == other.allocation
    np.testing.assert_array_equal(one.similarities, other.similarities)


class Batches(keras.utils.PyDataset):
    """The batches of `dataset()`."""

    def __len__(self):
        return len(dataset())

    def __getitem__(self, index):
        return list(dataset().as_numpy_iterator())[index]


def test_whatever_gives_batches_to_fit_is_searched_with(eager):
    members = members_of((1, -1, 1), (4, 6, 4))
    expected = search(members).similarities[0]
    two_epochs = (b for b in dataset().repeat(2).as_numpy_iterator())
    for data, steps in ((Batches(), None), (two_epochs, 3)):
        found = search(members, data, steps_per_epoch=steps).similarities[0]
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tau": 1.5}, "`tau`.*-1 to 1.*Received: tau=1.5"),
        ({"tau": float("nan")}, "`tau`"),
        ({"beta": 2}, "`beta`.*-1 to 1.*Received: beta=2"),
        ({"pretrain_epochs": 0}, "`pretrain_epochs` must be a positive int"),
        ({"pretrain_epochs": 1.5}, "`pretrain_epochs` must be a positive int"),
        ({"sketch_size": 20}, "`sketch_size`.*20 scalars"),
        ({"budget_params": 10}, "smallest budget that works is"),
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises((TypeError, ValueError), match=message):
        search(members_of((1, -1), (4, 4)), **settings)


@pytest.mark.parametrize(
    "rule",
    [ksw.sharing.Independent(), ksw.sharing.SuperWeights("position"), "depth"],
    ids=repr,
)
def test_a_rule_that_cannot_be_refined_is_refused(rule):
    def build():
        raise AssertionError("built")

    with pytest.raises(TypeError, match="must be a `SuperWeights`.*Received"):
        find_clusters(build, 2.0, dataset(), rule)


def test_what_is_measured_once_can_be_decided_on_again(eager):
    members = members_of((1, -1, 1), (4, 4, 4))
    rule = ksw.sharing.SuperWeights(depth_bins=1, max_templates=2)
    found = search(members, sharing=rule)
    measured = ksw.search.Measurement(
        found.start,
        found.similarities,
        found.coefficient_similarities,
        found.unused,
    )
    again = ksw.search.refine(measured, rule, 0.1)
    assert again.allocation == found.allocation and again.tries == found.tries
    for tau, expected in (
        (-1, {(0, 1, 2)}),
        (0.1, {(0, 2), (1,)}),
        (1, {(0,), (1,), (2,)}),
    ):
        refined = ksw.search.refine(measured, rule, tau).allocation
        assert set(refined.clusters) == expected
    # The rule is the given one in every respect.
    superweights = found.allocation.superweights
    assert max(each.num_templates for each in superweights) == 2
