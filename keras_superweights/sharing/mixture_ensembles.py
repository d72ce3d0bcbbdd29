"""MixtureEnsembles (ME): templates for layers of equal shape.

The budget decides between three regimes:

    two or more templates per group of equal shape: each layer mixes up to
        `max_templates` of them, dealt round robin (section 3.1);
    one template: a plain kernel, shared by the whole group (section 3.1);
    less: one store for all layers, read by each in its own shape, again
        round robin (section 5.1, the paper's 7M).
"""

import bisect
from dataclasses import dataclass

from keras_superweights import parts
from keras_superweights.arguments import check_integer
from keras_superweights.sharing import spending
from keras_superweights.sharing.clusters import shapes
from keras_superweights.sharing.clusters import turns
from keras_superweights.sharing.dealing import deal
from keras_superweights.sharing.flat import joined
from keras_superweights.sharing.plan import SMALLER
from keras_superweights.sharing.plan import Plan
from keras_superweights.sharing.rule import Rule


@dataclass(frozen=True)
class MixtureEnsembles(Rule):
    """Shares among layers of equal shape, over layers and members.

    The paper gives each group the fraction of the budget that its layers have
    of the plain network's parameters. That is the same number of templates
    per kernel in every group, so templates are dealt one at a time to the
    group with the fewest per kernel that one more still fits.

    Args:
        max_templates: The most templates that one layer mixes. 5 by default:
            the paper counts 105 coefficients per member for WRN-28-10, which
            has 21 layers with another of equal shape.
        disjoint: Deals templates to the layers of one member after the other,
            so that no two mix the same before all have been dealt (section
            4.2, ImageNet). By default the same layer of every member mixes
            the same templates (CIFAR).
        mix_single_layers: Whether a shape that each member has once also
            gets templates (appendix A.1, the Thin networks) instead of one
            plain kernel for all members.
        kinds, exclude, transforms: See `Rule`.

    Raises:
        ValueError: If `max_templates` is below 2.

    Example:

    >>> from keras_superweights.allocation import KernelSpec
    >>> from keras_superweights.allocation import MemberSpec
    >>> kernels = tuple(KernelSpec(0, name, (3, 3, 8, 8)) for name in "abc")
    >>> member = MemberSpec("net", kernels, other_params=10)
    >>> MixtureEnsembles().allocate([member], 1200).num_coefficients
    6
    """

    max_templates: int = 5
    disjoint: bool = False
    mix_single_layers: bool = False

    def __post_init__(self):
        super().__post_init__()
        # A mixture of one template is a plain kernel.
        check_integer("max_templates", self.max_templates, least=2)

    def plan(self, kernels, scalars):
        groups = shapes(kernels)
        demands = [self._demand(kernels, group) for group in groups]
        needed = spending.minimum_cost(demands)
        if scalars < needed:
            return self._one_store(kernels, scalars, needed)
        counts = spending.spend(demands, scalars)
        plan = Plan(reason=spending.unused_reason(demands, counts))
        for group, count in zip(groups, counts, strict=True):
            if count == 1 and len(group.kernels) == 1:
                plan.private += group.kernels  # nobody to share with
                continue
            plan.add(
                name=group.name,
                kernels=group.kernels,
                geometry=parts.Region.of(kernels[group.kernels[0]]),
                mixing=self._mixing(kernels, group.kernels, count),
                num_templates=count,
            )
        return plan

    def _demand(self, kernels, group) -> spending.Demand:
        dealt = len(set(self._turns(kernels, group.kernels)))
        per_member = max(self._turns(kernels, group.kernels, own=True)) + 1
        single = per_member == 1 and not self.mix_single_layers
        return spending.Demand(
            size=kernels[group.kernels[0]].size,
            num_kernels=len(group.kernels),
            most=1 if single else dealt * self.max_templates,
            mixed=self.max_templates,
            plain_single=True,
        )

    def _turns(self, kernels, indices, own=False) -> list[int]:
        """Returns each kernel's turn in the deal of templates.

        Kernels with the same turn get the same templates: the i-th of every
        member, unless the deal is disjoint.
        """
        if self.disjoint and not own:
            return list(range(len(indices)))
        return turns([kernels[index].member for index in indices])

    def _mixing(self, kernels, indices, count):
        if count == 1:
            return parts.Plain()
        mixed = min(count, self.max_templates)
        choices = ()
        if count > mixed:
            choices = tuple(
                tuple((turn * mixed + i) % count for i in range(mixed))
                for turn in self._turns(kernels, indices)
            )
        return parts.WeightedSum.untied(len(indices), choices)

    def _one_store(self, kernels, scalars, cost_of_groups):
        """Returns a plan of one bank, read round robin (section 5.1)."""

        def cost(store):
            return store + sum(
                min(self.max_templates, store // kernel.size)
                for kernel in kernels
            )

        largest = max(kernel.size for kernel in kernels)
        if scalars < cost(largest):
            # Kernels of one shape need no coefficients as a group.
            needed = min(cost(largest), cost_of_groups)
            Plan.require(needed, scalars, hint=SMALLER)
        store = bisect.bisect_right(
            range(scalars + 1), scalars, lo=largest, key=cost
        )
        store -= 1  # the largest that costs no more
        layers = {}
        for index, turn in enumerate(self._turns(kernels, range(len(kernels)))):
            layers.setdefault((turn, kernels[index].shape), []).append(index)
        sizes = [kernels[indices[0]].size for indices in layers.values()]
        users = {}
        for indices, view in zip(
            layers.values(),
            deal(sizes, store, self.max_templates),
            strict=True,
        ):
            users.setdefault(view, []).extend(indices)
        plan = Plan(
            reason="with one more in the store, layers would mix more templates"
        )
        bank = plan.add_bank("all", store)
        plan.superweights += joined(bank, store, users, single="wavg")
        return plan
