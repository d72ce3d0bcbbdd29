"""FairShares: every kernel gets the same number of scalars, up to its size."""

from collections.abc import Sequence
from dataclasses import dataclass

from keras_superweights import parts
from keras_superweights.allocation.specs import MemberSpec
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
    at a time to the shape whose kernels have the fewest scalars each; where
    there are as many as kernels, the kernels stay private. So the many small
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
        kinds, exclude, transforms: See `Rule`.

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

    def plan(self, kernels, scalars):
        found = self._shapes(kernels)
        Plan.require(minimum_cost(found), scalars, hint=SMALLER)
        counts = spend(found, scalars)
        plan = Plan(reason=unused_reason(found, counts))
        users = []
        for shape, count in zip(found, counts, strict=True):
            if count == shape.most:
                plan.private += shape.users
                continue
            plan.add(
                name=shape.name,
                kernels=shape.users,
                geometry=parts.Region.of(kernels[shape.users[0]]),
                mixing=parts.WeightedSum.untied(shape.most),
                num_templates=count,
            )
            users += shape.users
        if users and self.rank_one:
            plan.transform(parts.RankOne(kernels=tuple(sorted(users))))
        return plan

    def smallest_budget(self, members: Sequence[MemberSpec]) -> int:
        """Returns the smallest budget that works."""
        kernels = self.chosen_kernels(members)
        needed = minimum_cost(self._shapes(kernels))
        return self.fixed_params(members, kernels) + needed

    def _shapes(self, kernels):
        found = []
        for group in shapes(kernels):
            first = kernels[group.kernels[0]]
            own = parts.RankOne().num_scalars(first) if self.rank_one else 0
            found.append(_Shape(group.name, group.kernels, first.size, own))
        return found


@dataclass(frozen=True)
class _Shape:
    """The kernels of one shape: a demand for `spend`.

    Attributes:
        name: What the kernels have in common.
        users: Their indices.
        size: Scalars of one.
        own: Further scalars of each, where they mix templates.
    """

    name: str
    users: tuple[int, ...]
    size: int
    own: int

    @property
    def most(self):
        return len(self.users)

    def cost(self, count):
        """Returns the trainable scalars for so many templates."""
        mixed = 0 if count == self.most else self.most * (count + self.own)
        return self.size * count + mixed

    def filled(self, count):
        """Returns the scalars of each kernel."""
        return self.size * count / self.most
