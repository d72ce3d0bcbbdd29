"""Which kernels stay tied: NumPy on allocations, without a network."""

import itertools

import numpy as np

from keras_superweights.callbacks.decoupling import decoupled_ties
from keras_superweights.sharing import Shapeshifter
from keras_superweights.sharing import SuperWeights
from tests import builders


def cosine(one, other):
    norm = np.linalg.norm(one) * np.linalg.norm(other)
    return one @ other / norm if norm else 0.0


def brute_force(allocation, gradients, beta):
    """Computes ties by their definition: merges groups kernel by kernel."""

    def of(kernel):
        """Dict from a kernel's SuperWeights to its `(tie, gradient)`."""
        return {
            s: (superweight.ties[row], gradients[s][row])
            for s, superweight in enumerate(allocation.superweights)
            if kernel in superweight.kernels and superweight.ties
            for row in [superweight.kernels.index(kernel)]
        }

    group = list(range(len(allocation.kernels)))
    for cluster in allocation.clusters:
        for i, j in itertools.combinations(cluster, 2):
            common = sorted(of(i).keys() & of(j).keys())
            tied = all(of(i)[s][0] == of(j)[s][0] for s in common)
            one, other = (
                np.concatenate([np.zeros(0), *(of(k)[s][1] for s in common)])
                for k in (i, j)
            )
            if tied and (beta == -1 or cosine(one, other) > beta):
                group = [group[i] if g == group[j] else g for g in group]
    ties = []
    for superweight in allocation.superweights:
        groups = [group[kernel] for kernel in superweight.kernels]
        # The first kernel of each group owns the row of all of them.
        ties.append(
            tuple(map(groups.index, groups)) if superweight.ties else ()
        )
    return ties


def random_allocation(draw):
    shapes = draw.integers(2, 7, (2, 4, 2)).tolist()
    members = builders.members(*(map(tuple, boxes) for boxes in shapes))
    budget = 3 * sum(m.num_params for m in members)
    return SuperWeights(depth_bins=1, tied=True).allocate(members, budget)


def constant_gradients(allocation, value):
    return [
        np.full((len(p.kernels), p.num_templates), value)
        for p in allocation.superweights
    ]


def test_groups_equal_a_brute_force_and_only_ever_split():
    draw = np.random.default_rng(1)
    counts = set()
    for _ in range(150):
        allocation = random_allocation(draw)
        for _ in range(2):  # the second time from what is partly untied
            zeros = constant_gradients(allocation, 0.0)
            gradients = [draw.normal(size=each.shape) for each in zeros]
            beta = draw.choice([-1, -0.4, 0.0, 0.2, 0.5, 1]).item()
            ties = decoupled_ties(allocation, gradients, beta)
            assert ties == brute_force(allocation, gradients, beta)
            parted = allocation.with_ties(ties)
            for before, after in zip(
                allocation.superweights, parted.superweights, strict=True
            ):
                pairs = set(zip(after.ties, before.ties, strict=True))
                assert len(pairs) == len(set(after.ties))
            assert parted.num_params == allocation.num_params
            counts.add(len(set(ties[0])))
            allocation = parted
    assert counts == set(range(1, 9))


def test_kernels_untied_in_one_superweight_are_never_tied_again():
    allocation = random_allocation(np.random.default_rng(3))
    first, *others = allocation.superweights
    ties = [first.ties, *(tuple(range(len(p.ties))) for p in others)]
    assert any(len(own) > 1 for own in ties[1:])
    alike = constant_gradients(allocation, 1.0)
    assert decoupled_ties(allocation.with_ties(ties), alike, 0.5) == ties


def test_gradients_of_zero_part_unless_beta_is_minus_1():
    allocation = random_allocation(np.random.default_rng(2))
    zeros = constant_gradients(allocation, 0.0)
    own = [tuple(range(len(p.ties))) for p in allocation.superweights]
    assert decoupled_ties(allocation, zeros, 0.0) == own
    assert decoupled_ties(allocation, zeros, -1) == [
        p.ties for p in allocation.superweights
    ]


def test_only_kernels_that_mix_the_same_templates_are_compared():
    allocation = Shapeshifter(max_templates=2).allocate(
        [builders.member((2, 4), (4, 4))], 48
    )
    assert [each.kernels for each in allocation.superweights] == [(0,), (1,)]
    gradients = constant_gradients(allocation, 1.0)
    # Their similarity is 0, which is above this beta.
    assert decoupled_ties(allocation, gradients, -0.5) == [(0,), (0,)]
