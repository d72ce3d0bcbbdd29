"""FairShares: every kernel gets its share of scalars, up to its size."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from keras_superweights.allocation.specs import MemberSpec
from keras_superweights.arguments import as_tuple
from keras_superweights.parts import RankOne
from keras_superweights.parts import Region
from keras_superweights.parts import WeightedSum
from keras_superweights.sharing.clusters import shapes
from keras_superweights.sharing.plan import SMALLER
from keras_superweights.sharing.plan import Plan
from keras_superweights.sharing.rule import Rule
from keras_superweights.sharing.spending import minimum_cost
from keras_superweights.sharing.spending import spend
from keras_superweights.sharing.spending import unused_reason


@dataclass(frozen=True)
class FairShares(Rule):
    """Gives every kernel the same number of scalars, up to its size.

    Layers of equal kind and shape, over layers and members, mix all templates
    of a common bank, each with its own coefficients. Templates are dealt one
    at a time to the shape whose kernels have the least of their shares;
    kernels whose share is their size stay private. So the many small
    kernels of a network are not shared at all, and the few large ones, which
    have most of the parameters, are shared by many: kernels that mix common
    templates disturb each other's training, and keeping that from a small
    kernel costs little.

    The papers' rules give every kernel the same *part* of its size instead.
    `benchmarks/README.md` compares them.

    Args:
        rank_one: Whether each kernel that shares is also multiplied by
            `parts.RankOne` factors of its own, random signs at the start.
            Kernels that mix a single template are copies of it without.
        shares: What the kernels should have, compared with each other: a
            positive number for each that may be shared, in order, such as
            `search.learn_shares` finds. Equal by default.
        kinds, exclude, transforms: See `Rule`.

    Raises:
        TypeError: If `shares` is not a list of floats.
        ValueError: If one is not positive and finite, or, when members are
            allocated, there are more or fewer than kernels.

    Example:

    >>> from keras_superweights.allocation import KernelSpec
    >>> from keras_superweights.allocation import MemberSpec
    >>> shapes = [(3, 3, 4, 4)] * 2 + [(3, 3, 16, 16)] * 2
    >>> kernels = tuple(
    ...     KernelSpec(0, name, shape)
    ...     for name, shape in zip("abcd", shapes, strict=True)
    ... )
    >>> member = MemberSpec("net", kernels, other_params=10)
    >>> FairShares().allocate([member], 3000).num_params  # 10+288 + 2304+2+64
    2668
    """

    rank_one: bool = True
    shares: tuple[float, ...] | None = None

    def __post_init__(self):
        super().__post_init__()
        if self.shares is None:
            return
        expected = "a list of floats, one for each kernel that is shared"
        shares = as_tuple("shares", self.shares, float, expected)
        object.__setattr__(self, "shares", shares)
        if not shares or not all(0 < share < math.inf for share in shares):
            raise ValueError(
                "`shares` must be one or more numbers, positive and finite. "
                f"Received: shares={shares}."
            )

    def plan(self, kernels, scalars):
        found = self._shapes(kernels)
        Plan.require(minimum_cost(found), scalars, hint=SMALLER)
        counts = spend(found, scalars)
        plan = Plan(reason=unused_reason(found, counts))
        users = []
        for shape, count in zip(found, counts, strict=True):
            kept, rest = shape.split(count)
            plan.private += kept
            if rest:
                plan.add(
                    name=shape.name,
                    kernels=rest,
                    geometry=Region.of(kernels[rest[0]]),
                    mixing=WeightedSum.untied(len(rest)),
                    num_templates=count - len(kept),
                )
            users += rest
        if users and self.rank_one:
            plan.transform(RankOne(kernels=tuple(sorted(users))))
        return plan

    def smallest_budget(self, members: Sequence[MemberSpec]) -> int:
        """Returns the smallest budget that works."""
        kernels = self.chosen_kernels(members)
        needed = minimum_cost(self._shapes(kernels))
        return self.fixed_params(members, kernels) + needed

    def _shapes(self, kernels):
        shares = self.shares or (1.0,) * len(kernels)
        if len(shares) != len(kernels):
            raise ValueError(
                "`shares` must have a number for each kernel that is shared. "
                f"Received: {len(shares)} numbers for {len(kernels)} kernels."
            )
        found = []
        for group in shapes(kernels):
            first = kernels[group.kernels[0]]
            own = RankOne().num_scalars(first) if self.rank_one else 0
            mine = {k: shares[k] for k in group.kernels}
            found.append(_Shape(group.name, first.size, own, mine))
        return found


class _Shape:
    """The kernels of one shape: a demand for `spend`.

    Of so many templates, the kernels with the largest shares have one each for
    themselves, and stay private; the others mix the rest.

    Args:
        name: What the kernels have in common.
        size: Scalars of one.
        own: Further scalars of each kernel that mixes.
        shares: What each kernel should have, by its index.
    """

    def __init__(self, name, size, own, shares):
        self.name = name
        self.size = size
        self.own = own
        self.most = len(shares)
        self._order = sorted(shares, key=shares.get, reverse=True)
        self._shares = [shares[kernel] for kernel in self._order]
        # Of the kernels from this place on.
        sums = list(itertools.accumulate(reversed(self._shares)))
        self._rests = sums[::-1]

    def split(self, count):
        """Returns the kernels that stay private, and those that mix."""
        _, kept = self._level(count)
        return sorted(self._order[:kept]), sorted(self._order[kept:])

    def cost(self, count):
        """Returns the trainable scalars for so many templates."""
        _, kept = self._level(count)
        mixed = (self.most - kept) * (count - kept + self.own)
        return self.size * count + mixed

    def filled(self, count):
        """Returns the part of their shares that the kernels have."""
        return self._level(count)[0]

    def _level(self, count):
        """Returns `filled`, and how many kernels have all that they can use.

        A kernel uses `min(size, level * share)` scalars; the level is that at
        which all use so many templates together.
        """
        if count == self.most:
            return self.size / self._shares[-1], self.most
        for kept, share in enumerate(self._shares):
            level = (count - kept) * self.size / self._rests[kept]
            if level * share < self.size:
                break
        return level, kept
