"""Every kernel has equally many scalars, unless it is smaller."""

import random

import pytest

from keras_superweights.allocation import KernelSpec
from keras_superweights.allocation import MemberSpec
from keras_superweights.parts import RankOne
from keras_superweights.sharing import FairShares
from tests import builders


def level(size, shares, count):
    """At which kernels have `min(size, level * share)`, `count * size` in all.

    By bisection.
    """
    low, high = 0.0, 2 * size / min(shares)
    for _ in range(60):
        middle = (low + high) / 2
        had = sum(min(size, middle * share) for share in shares)
        low, high = (low, middle) if had > count * size else (middle, high)
    return low


def kept(size, shares, count):
    """How many kernels have all that they can use."""
    if count == len(shares):
        return count
    full = level(size, shares, count) * (1 + 1e-9)
    return sum(full * share >= size for share in shares)


def cost(size, own, shares, count):
    whole = kept(size, shares, count)
    mixed = (len(shares) - whole) * (count - whole + own)
    return size * count + mixed


def price(size, own, shares, count):
    """Of the last of so many templates."""
    return cost(size, own, shares, count) - cost(size, own, shares, count - 1)


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("rank_one", [False, True])
def test_no_kernel_has_more_while_another_could_have_had_its_share(
    rank_one, is_weighted
):
    """Against every pair of shapes, over random members and budgets."""
    draw = random.Random(0)
    seen = set()
    for _ in range(80):
        members = builders.alike_members(draw)
        kernels = [kernel for member in members for kernel in member.kernels]
        shares = [draw.choice([0.2, 1.0, 1.5, 9.0]) for _ in kernels]
        if not is_weighted:
            shares = [1.0] * len(kernels)
        rule = FairShares(rank_one, shares=shares if is_weighted else None)
        least = builders.smallest_budget(rule, members)
        assert least == rule.smallest_budget(members)
        whole = sum(member.num_params for member in members)
        budget = draw.randint(least, max(least, whole))
        allocation = rule.allocate(members, budget)
        assert allocation.num_params <= budget
        shared = {k: s for s in allocation.superweights for k in s.kernels}
        groups = {}
        for index, kernel in enumerate(kernels):
            key = (kernel.kind, kernel.shape)
            groups.setdefault(key, []).append(index)
        # `(size, factors, shares, templates)` of each shape.
        given = []
        for users in groups.values():
            private = [k for k in users if k not in shared]
            rest = {shared[k] for k in users if k in shared}
            assert len(rest) <= 1
            count = len(private) + sum(each.num_templates for each in rest)
            first = kernels[users[0]]
            own = sum(first.box) if rank_one else 0
            wanted = [shares[k] for k in users]
            given.append((first.size, own, wanted, count))
            assert len(private) == kept(first.size, wanted, count)
            assert sorted(shares[k] for k in private) == sorted(
                sorted(wanted)[len(users) - len(private) :]
            )
            seen.add((count == len(users), 0 < len(private) < len(users)))
        left = budget - allocation.num_params
        # By kernels that came to do without coefficients.
        freed = sum(
            max(0, -price(size, own, wanted, number))
            for size, own, wanted, count in given
            for number in range(2, count + 1)
        )
        for size, own, wanted, count in given:
            if count == len(wanted):
                continue
            more = price(size, own, wanted, count + 1)
            assert more > left
            for other, others_own, others, number in given:
                if number == 1:
                    continue
                had = level(other, others, number - 1) * (1 - 1e-9)
                if had > level(size, wanted, count):
                    last = price(other, others_own, others, number)
                    assert more > left + last - freed
    assert seen >= {(True, False), (False, False)}
    assert ((False, True) in seen) == is_weighted


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


def test_shares_are_kept_in_proportion():
    member = alike((3, 3, 4, 16), (3, 3, 8, 8), times=20)
    budget = 10 + 8 * 576 + 20 * 8
    shares = [1.0] * 20 + [3.0] * 20
    allocation = FairShares(False, shares=shares).allocate([member], budget)
    assert [s.num_templates for s in allocation.superweights] == [2, 6]
    even = FairShares(False).allocate([member], budget)
    assert [s.num_templates for s in even.superweights] == [4, 4]


def test_a_kernel_with_a_large_share_stays_private():
    member = alike((3, 3, 8, 8), times=5)
    budget = 10 + 3 * 576 + 4 * 2
    rule = FairShares(False, shares=[1.0, 1.0, 9.0, 1.0, 1.0])
    (shared,) = rule.allocate([member], budget).superweights
    assert shared.kernels == (0, 1, 3, 4)
    assert shared.num_templates == 2


@pytest.mark.parametrize(
    "error, shares",
    [
        (TypeError, "1.0"),
        (TypeError, [1, 2]),
        (ValueError, [1.0, 0.0]),
        (ValueError, [1.0, float("nan")]),
        (ValueError, [1.0, float("inf")]),
        (ValueError, []),
    ],
)
def test_other_shares_are_refused(error, shares):
    with pytest.raises(error, match="`shares` must"):
        FairShares(shares=shares)


def test_there_is_a_share_for_each_kernel():
    member = alike((3, 3, 4, 4), times=2)
    with pytest.raises(ValueError, match="`shares` must.* 3 numbers for 2 k"):
        FairShares(shares=[1.0] * 3).allocate([member], 10**4)


def test_too_small_a_budget_names_the_smallest():
    member = alike((3, 3, 4, 4), (3, 3, 8, 8), times=3)
    least = 10 + 144 + 576 + 6 + 3 * (8 + 16)
    with pytest.raises(ValueError, match=f"works is {least}"):
        FairShares().allocate([member], least - 1)
    assert FairShares().allocate([member], least).num_params == least
