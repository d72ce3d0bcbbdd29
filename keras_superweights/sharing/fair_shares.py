"""FairShares: every kernel gets the same number of scalars, up to its size."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from keras_superweights.allocation.allocation import Allocation
from keras_superweights.allocation.allocation import all_kernels
from keras_superweights.allocation.specs import MemberSpec
from keras_superweights.parts import RankOne
from keras_superweights.parts import Region
from keras_superweights.parts import WeightedSum
from keras_superweights.sharing.clusters import shapes
from keras_superweights.sharing.plan import SMALLER
from keras_superweights.sharing.plan import Plan
from keras_superweights.sharing.rule import Rule
from keras_superweights.sharing.spending import Demand
from keras_superweights.sharing.spending import minimum_cost
from keras_superweights.sharing.spending import spend
from keras_superweights.sharing.spending import unused_reason


@dataclass(frozen=True)
class FairShares(Rule):
    """Gives every kernel the same number of scalars, up to its size.

    Layers of equal kind and shape, over layers and members, mix all templates
    of a common bank, each with its own coefficients. Templates are dealt one
    at a time to the bank whose kernels have the fewest scalars each; where
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
            Better for members that are alike (`default_rule`).
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
    >>> FairShares().allocate([member], 3000).num_params  # 10 + 288 + 2304+2
    2604
    """

    rank_one: bool = False

    def plan(self, kernels, scalars):
        return self._plan(kernels, scalars, [1.0] * len(kernels))

    def smallest_budget(self, members: Sequence[MemberSpec]) -> int:
        """Returns the smallest budget that works."""
        kernels = self.chosen_kernels(members)
        weights = [1.0] * len(kernels)
        demands = self._demands(kernels, shapes(kernels), weights)
        return self.fixed_params(members, kernels) + minimum_cost(demands)

    def allocate_weighted(
        self,
        members: Sequence[MemberSpec],
        budget_params: int,
        weights: Sequence[float],
    ) -> Allocation:
        """Allocates with shares in proportion to weights, up to the size.

        Args:
            members: As for `allocate`.
            budget_params: As for `allocate`.
            weights: A positive number for each kernel of the members; those
                of one shape get what they should have together.

        Raises:
            ValueError: If the weights are not one positive number per kernel,
                or the budget is too small.
        """
        count = len(all_kernels(members))
        if len(weights) != count or not all(w > 0 for w in weights):
            raise ValueError(
                f"`weights` must be a positive number for each of the {count} "
                f"kernels. Received: {len(weights)} from {min(weights)} to "
                f"{max(weights)}."
            )
        chosen = [weights[index] for index in self.chosen(members)]
        plan = functools.partial(self._plan, weights=chosen)
        return self.allocate(members, budget_params, plan=plan)

    def _plan(self, kernels, scalars, weights):
        groups = shapes(kernels)
        demands = self._demands(kernels, groups, weights)
        Plan.require(minimum_cost(demands), scalars, hint=SMALLER)
        counts = spend(demands, scalars)
        plan = Plan(reason=unused_reason(demands, counts))
        shared = []
        for group, count in zip(groups, counts, strict=True):
            if count == len(group.kernels):
                plan.private += group.kernels
                continue
            plan.add(
                name=group.name,
                kernels=group.kernels,
                geometry=Region.of(kernels[group.kernels[0]]),
                mixing=WeightedSum.untied(len(group.kernels)),
                num_templates=count,
            )
            shared += group.kernels
        if shared and self.rank_one:
            plan.transform(RankOne(kernels=tuple(sorted(shared))))
        return plan

    def _demands(self, kernels, groups, weights):
        demands = []
        for group in groups:
            first = kernels[group.kernels[0]]
            count = len(group.kernels)
            demands.append(
                Demand(
                    size=first.size,
                    num_kernels=count,
                    most=count,
                    mixed=count,
                    plain_most=True,
                    own=RankOne().num_scalars(first) if self.rank_one else 0,
                    weight=sum(weights[k] for k in group.kernels) / count,
                )
            )
        return demands
