"""Which kernels a search ties: on matrices and allocations, no network."""

import itertools

import numpy as np
import pytest

from keras_superweights.allocation import Allocation
from keras_superweights.allocation import KernelSpec
from keras_superweights.allocation import MemberSpec
from keras_superweights.search.refinement import Measurement
from keras_superweights.search.refinement import refine
from keras_superweights.search.ties import cluster_ties
from keras_superweights.sharing import Shapeshifter
from keras_superweights.sharing import SuperWeights
from tests import builders
from tests.search.planted import random_similarity


def measured(draw):
    """A rule, and what might have been measured of a few random members."""
    shapes = [
        [(3, 3, *draw.integers(2, 7, 2).tolist()) for _ in range(count)]
        for count in draw.integers(2, 7, 3)
    ]
    members = builders.members(*shapes, other_params=7)
    rule = SuperWeights(depth_bins=draw.integers(1, 3).item())
    clusters = rule.start_clusters(members)
    count = sum(member.num_params for member in members)
    smallest = rule.smallest_budget(members, clusters)
    budget = draw.integers(smallest, 2 * count).item()
    matrices = [
        tuple(random_similarity(draw, len(c.kernels)) for c in clusters)
        for _ in ("weights", "coefficients")
    ]
    return rule, Measurement(rule.allocate(members, budget), *matrices, ())


def tied_pairs(allocation):
    """The pairs of kernels that use one row of any SuperWeight."""
    return {
        (one, other)
        for superweight in allocation.superweights
        for (one, row), (other, same) in itertools.combinations(
            zip(superweight.kernels, superweight.ties, strict=False), 2
        )
        if row == same
    }


def templates_in_common(allocation, *kernels):
    return sum(
        each.num_templates
        for each in allocation.superweights
        if each.ties and set(kernels) <= set(each.kernels)
    )


def by_definition(found, clusters, beta):
    """Pairs that pairs above beta connect inside a member and cluster."""
    pairs = set()
    kernels = found.allocation.kernels
    matrices = found.coefficient_similarities
    for cluster, similarity in zip(clusters, matrices, strict=True):
        psi = {
            # With one template in common, a cosine is a sign and tells nothing.
            frozenset((k, other)): similarity[i, j]
            * (templates_in_common(found.start, k, other) > 1)
            for i, k in enumerate(cluster.kernels)
            for j, other in enumerate(cluster.kernels)
        }
        for group in found.allocation.clusters:
            for member in range(len(found.start.members)):
                inside = [
                    k
                    for k in group
                    if k in cluster.kernels and kernels[k].member == member
                ]
                for one in inside:
                    reached = {one}
                    for _ in inside:
                        reached |= {
                            k
                            for k in inside
                            for other in reached
                            if beta == -1 or psi[frozenset((k, other))] > beta
                        }
                    pairs |= {(one, k) for k in reached if k > one}
    return pairs


@pytest.mark.parametrize("beta", [-1, -0.3, 0.2, 0.9, 1])
def test_ties_are_the_components_above_beta_of_a_member_and_cluster(beta):
    draw = np.random.default_rng(0)
    counts = set()
    for _ in range(40):
        rule, what = measured(draw)
        found = refine(what, rule, tau=draw.uniform(-1, 1), beta=beta)
        allocation = found.allocation
        clusters = rule.start_clusters(allocation.members)
        pairs = tied_pairs(allocation)
        assert pairs == by_definition(found, clusters, beta)
        kernels = allocation.kernels
        assert all(kernels[i].member == kernels[j].member for i, j in pairs)
        # Beta changes nothing but ties: the papers' way shares the same.
        papers = refine(what, rule, tau=found.tries[0].tau, beta=None)
        assert allocation.clusters == papers.allocation.clusters
        assert allocation.banks == papers.allocation.banks
        assert allocation.num_params == papers.allocation.num_params
        assert allocation.num_params <= allocation.budget_params
        assert {t for s in papers.allocation.superweights for t in s.ties} == {
            0
        }
        assert found.tries == papers.tries
        assert allocation.sharing == str(rule)
        assert Allocation.from_json(allocation.to_json()) == allocation
        # A refinement is a measurement: it can be refined again.
        again = refine(found, rule, tau=found.tries[0].tau, beta=beta)
        assert again.allocation == allocation
        counts.add(len(pairs))
    assert counts == {0} if beta == 1 else len(counts) > 3


def test_thresholds_out_of_range_are_refused():
    rule, what = measured(np.random.default_rng(0))
    for wrong in ({"tau": 1.5}, {"beta": -2}):
        name, value = next(iter(wrong.items()))
        with pytest.raises(ValueError, match=f"`{name}`.*-1 to 1.*{value}"):
            refine(what, rule, **wrong)


def test_kernels_of_a_store_at_different_initial_scales_are_not_tied():
    shapes = [(4, 4), (16, 1), (4, 4), (4, 4), (8, 4), (4, 8)]
    kernels = tuple(
        KernelSpec(0, f"l{i}", shape, kind="embedding" if i == 2 else "dense")
        for i, shape in enumerate(shapes)
    )
    member = MemberSpec("net", kernels, other_params=0)
    # A store of 96: six templates of 16 for the first four, three of 32.
    allocation = Shapeshifter().allocate([member], 96 + 6 * 4 + 3 * 2)
    assert [p.kernels for p in allocation.superweights] == [
        (0, 1, 2, 3),
        (4, 5),
    ]
    assert cluster_ties(allocation) == [(0, 1, 2, 0), (0, 1)]
