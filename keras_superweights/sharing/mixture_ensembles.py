"""MixtureEnsembles (ME): templates for layers of equal shape.

Three regimes follow from the budget:

    a group of layers of one shape affords two templates or more: each layer
        mixes up to `max_templates` of them, dealt round robin (section 3.1);
    it affords one: a plain kernel, shared by all of the group (section 3.1);
    not even that for every group: one store for all layers, read by each in
        its own shape, again round robin (section 5.1, the paper's 7M).
"""

from dataclasses import dataclass

from keras_superweights.parts import Plain
from keras_superweights.parts import Region
from keras_superweights.parts import WeightedSum
from keras_superweights.sharing.clusters import shapes
from keras_superweights.sharing.dealing import deal
from keras_superweights.sharing.flat import joined
from keras_superweights.sharing.plan import SMALLER
from keras_superweights.sharing.plan import Plan
from keras_superweights.sharing.rule import Rule
from keras_superweights.sharing.spending import Demand
from keras_superweights.sharing.spending import minimum_cost
from keras_superweights.sharing.spending import spend
from keras_superweights.sharing.spending import unused_reason


@dataclass(frozen=True)
class MixtureEnsembles(Rule):
    """Shares among layers of equal shape, over layers and members.

    The paper gives each group the fraction of the budget that its layers have
    of the plain network's parameters. Counted in templates, that is the same
    number per kernel for every group, and so it is dealt: one template at a
    time to the group with the fewest per kernel. What rounding leaves over
    goes to the groups that it still fits.

    Args:
        max_templates: The most templates that one layer mixes. 5 by default:
            the paper counts 105 coefficients a member for WRN-28-10, which
            has 21 layers with a sibling of equal shape.
        disjoint: Deals templates to the layers of one member after the other,
            so that no two mix the same before all have been dealt (section
            4.2, ImageNet). By default the same layer of every member mixes
            the same templates (CIFAR).
        mix_single_layers: Whether a shape that each member has once also
            gets templates (appendix A.1, the Thin networks) instead of one
            plain kernel for all members.
        kinds: Kinds of kernels to share, all by default; see `Rule`.
        exclude: Patterns of layers to leave out; see `Rule`.
        transforms: See `Rule`.

    Raises:
        TypeError: If `kinds` or `exclude` is not of strings.
        ValueError: If `max_templates` is below 2, or a kind is unknown.

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
        if not isinstance(self.max_templates, int) or self.max_templates < 2:
            raise ValueError(
                "`max_templates` must be an integer of 2 or more: a mixture "
                "of one template is a plain kernel. Received: "
                f"max_templates={self.max_templates!r}."
            )

    def plan(self, kernels, scalars):
        groups = shapes(kernels)
        demands = [self._demand(kernels, group) for group in groups]
        if scalars < minimum_cost(demands):
            return self._one_store(kernels, scalars, minimum_cost(demands))
        counts = spend(demands, scalars)
        plan = Plan(reason=unused_reason(demands, counts))
        for group, count in zip(groups, counts, strict=True):
            if count == 1 and len(group.kernels) == 1:
                plan.private += group.kernels  # nobody to share with
                continue
            plan.add(
                name=group.name,
                kernels=group.kernels,
                geometry=Region.of(kernels[group.kernels[0]]),
                mixing=self._mixing(kernels, group.kernels, count),
                num_templates=count,
            )
        return plan

    def _demand(self, kernels, group) -> Demand:
        dealt = len(set(self._turns(kernels, group.kernels)))
        per_member = max(self._turns(kernels, group.kernels, own=True)) + 1
        single = per_member == 1 and not self.mix_single_layers
        return Demand(
            size=kernels[group.kernels[0]].size,
            num_kernels=len(group.kernels),
            most=1 if single else dealt * self.max_templates,
            mixed=self.max_templates,
            plain_single=True,
        )

    def _turns(self, kernels, indices, own=False) -> list[int]:
        """Whose turn it is, kernel by kernel, when templates are dealt.

        Kernels with the same turn are dealt the same templates: the i-th of
        every member, unless the deal is disjoint.
        """
        if self.disjoint and not own:
            return list(range(len(indices)))
        seen = {}
        turns = []
        for index in indices:
            member = kernels[index].member
            turns.append(seen.get(member, 0))
            seen[member] = turns[-1] + 1
        return turns

    def _mixing(self, kernels, indices, count):
        if count == 1:
            return Plain()
        mixed = min(count, self.max_templates)
        choices = ()
        if count > mixed:
            choices = tuple(
                tuple((turn * mixed + i) % count for i in range(mixed))
                for turn in self._turns(kernels, indices)
            )
        return WeightedSum.untied(len(indices), choices)

    def _one_store(self, kernels, scalars, cost_of_groups):
        """One bank for all layers, read round robin (section 5.1)."""

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
        store = _largest(lambda size: cost(size) <= scalars, largest, scalars)
        layers = {}
        turns = self._turns(kernels, range(len(kernels)))
        for index, turn in enumerate(turns):
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


def _largest(holds, low: int, high: int) -> int:
    """The largest integer in [low, high] up to which a condition holds."""
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low
