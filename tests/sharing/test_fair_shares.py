"""Every kernel has equally many scalars, unless it is smaller."""

import random

import pytest

from keras_superweights.allocation import KernelSpec
from keras_superweights.allocation import MemberSpec
from keras_superweights.parts import RankOne
from keras_superweights.sharing import FairShares
from tests import builders


def price(size, own, users, count):
    """Of the last of so many templates; kernels kept are all that they need."""
    before = size * (count - 1) + users * (count - 1 + own)
    return (
        size * count + (users * (count + own) if count < users else 0) - before
    )


@pytest.mark.parametrize("rank_one", [False, True])
def test_no_kernel_has_more_while_another_could_have_had_its_share(rank_one):
    """Against every pair of shapes, over random members and budgets."""
    rule = FairShares(rank_one)
    draw = random.Random(0)
    seen = set()
    for _ in range(200):
        members = builders.alike_members(draw)
        kernels = [kernel for member in members for kernel in member.kernels]
        least = builders.smallest_budget(rule, members)
        assert rule.smallest_budget(members) == least
        whole = sum(member.num_params for member in members)
        budget = draw.randint(least, max(least, whole))
        allocation = rule.allocate(members, budget)
        assert allocation.num_params <= budget
        shared = {s.kernels: s.num_templates for s in allocation.superweights}
        groups = {}
        for index, kernel in enumerate(kernels):
            key = (kernel.kind, kernel.shape)
            groups.setdefault(key, []).append(index)
        # `(size, factors, kernels, templates)` of each shape.
        given = []
        for users in map(tuple, groups.values()):
            count = shared.pop(users, len(users))
            first = kernels[users[0]]
            own = sum(first.box) if rank_one else 0
            given.append((first.size, own, len(users), count))
            seen.add(count == len(users))
        assert not shared
        left = budget - allocation.num_params
        for size, own, users, count in given:
            if count == users:
                continue
            more = price(size, own, users, count + 1)
            assert more > left
            for *other, others, number in given:
                had = (number - 1) * other[0] / others
                if number > 1 and had > count * size / users:
                    assert more > left + price(*other, others, number)
    assert seen == {True, False}


def alike(*shapes, times):
    names = (f"layer{index}" for index in range(len(shapes) * times))
    kernels = [
        KernelSpec(0, next(names), shape)
        for shape in shapes
        for _ in range(times)
    ]
    return MemberSpec("net", tuple(kernels), other_params=10)


def test_small_kernels_are_kept_and_large_ones_shared():
    member = alike((3, 3, 2, 2), (3, 3, 4, 4), (3, 3, 16, 16), times=4)
    budget = 10 + 4 * 36 + 4 * 144 + 2304 + 4
    plain = FairShares(rank_one=False)
    allocation = plain.allocate([member], budget)
    (shared,) = allocation.superweights
    assert shared.kernels == (8, 9, 10, 11)
    assert shared.num_templates == 1
    assert allocation.num_params == budget
    assert allocation.transforms == ()
    multiplied = FairShares().allocate([member], budget + 4 * 32)
    assert multiplied.num_params == budget + 4 * 32
    (factors,) = multiplied.transforms
    assert factors == RankOne(kernels=shared.kernels)


def test_too_small_a_budget_names_the_smallest():
    member = alike((3, 3, 4, 4), (3, 3, 8, 8), times=3)
    least = 10 + 144 + 576 + 6 + 3 * (8 + 16)
    with pytest.raises(ValueError, match=f"works is {least}"):
        FairShares().allocate([member], least - 1)
    assert FairShares().allocate([member], least).num_params == least
