"""From similarities to allocations, on matrices written for the test."""

import numpy as np
import pytest

from keras_superweights.allocation import Allocation
from keras_superweights.search.refinement import fit_clusters
from keras_superweights.search.refinement import refine_clusters
from keras_superweights.sharing import SuperWeights
from keras_superweights.sharing.clusters import Cluster
from tests import builders
from tests.search.planted import random_similarity

AGREE = np.array([[1.0, 0.5, -0.5], [0.5, 1.0, 0.0], [-0.5, 0.0, 1.0]])


def members_of(draw, num_members=3):
    shapes = [
        [
            ((3, 3), ())[i % 2] + tuple(box)
            for i, box in enumerate(draw.integers(2, 9, (count, 2)).tolist())
        ]
        for count in draw.integers(2, 6, num_members)
    ]
    return builders.members(*shapes, other_params=7)


def random_similarities(draw, clusters):
    return [
        random_similarity(draw, len(cluster.kernels)) for cluster in clusters
    ]


def kernels_of(clusters):
    return sorted(cluster.kernels for cluster in clusters)


def test_clusters_split_at_the_threshold_and_are_never_merged():
    start = [Cluster("bin0", (0, 2, 5)), Cluster("bin1", (1, 3, 4))]
    refined = refine_clusters(start, [AGREE, np.ones((3, 3))], 0.1)
    assert kernels_of(refined) == [(0, 2), (1, 3, 4), (5,)]
    names = [cluster.name for cluster in refined]
    assert len(set(names)) == 3
    assert all(
        name.startswith("bin0" if cluster.kernels[0] in (0, 5) else "bin1")
        for name, cluster in zip(names, refined, strict=True)
    )


def test_the_limits_of_tau_are_the_start_and_every_kernel_its_own():
    draw = np.random.default_rng(0)
    for _ in range(20):
        members = members_of(draw)
        start = SuperWeights(depth_bins=2).start_clusters(members)
        similarities = random_similarities(draw, start)
        assert refine_clusters(start, similarities, -1) == start
        alone = refine_clusters(start, similarities, 1)
        count = sum(len(member.kernels) for member in members)
        assert kernels_of(alone) == [(k,) for k in range(count)]


def test_tau_falls_until_the_budget_can_be_met():
    draw = np.random.default_rng(1)
    lengths = set()
    for _ in range(60):
        members = members_of(draw)
        rule = SuperWeights(depth_bins=draw.integers(1, 4).item(), tied=True)
        start = rule.start_clusters(members)
        similarities = random_similarities(draw, start)
        least, most = (
            rule.smallest_budget(
                members, refine_clusters(start, similarities, tau)
            )
            for tau in (-1, 1)
        )
        budget = draw.integers(least, most + 1).item()
        tau = draw.choice([0.1, 0.9, 0.03, 1.0, -0.98]).item()
        allocation, tries = fit_clusters(
            members, rule, similarities, tau, budget
        )
        # 0.05 at a time, and no further than -1.
        steps = np.arange(len(tries))
        np.testing.assert_allclose(
            [t.tau for t in tries], np.maximum(tau - 0.05 * steps, -1)
        )
        for each in tries:
            clusters = refine_clusters(start, similarities, each.tau)
            assert each.num_clusters == len(clusters)
            # The smallest budget works, and one scalar less does not.
            smallest = each.smallest_budget
            rule.allocate_clusters(members, smallest, clusters)
            with pytest.raises(ValueError, match=f"works is {smallest}"):
                rule.allocate_clusters(members, smallest - 1, clusters)
        assert all(t.smallest_budget > budget for t in tries[:-1])
        assert tries[-1].smallest_budget <= budget
        in_force = refine_clusters(start, similarities, tries[-1].tau)
        assert sorted(allocation.clusters) == kernels_of(in_force)
        assert allocation.num_params <= budget == allocation.budget_params
        assert all(set(p.ties) <= {0} for p in allocation.superweights)
        assert Allocation.from_json(allocation.to_json()) == allocation
        lengths.add(len(tries))
    assert 1 in lengths and max(lengths) > 10
