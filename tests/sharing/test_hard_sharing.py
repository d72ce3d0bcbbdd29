import itertools
import random

import pytest

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


def test_halves_are_counted_over_the_layers_that_are_chosen():
    members = [builders.member(*[SHAPE] * 6)]
    rule = HardSharing("early", exclude=["l0", "l1"])
    (superweight,) = rule.allocate(members, 2000).superweights
    assert superweight.kernels == (2, 3)
