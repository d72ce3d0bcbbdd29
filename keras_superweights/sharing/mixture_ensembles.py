"""MixtureEnsembles (ME): templates for layers of equal shape.

Three regimes follow from the budget:

    a group of layers of one shape affords two templates or more: each layer
        mixes up to `max_templates` of them, dealt round robin (section 3.1);
    it affords one: a plain kernel, shared by all of the group (section 3.1);
    not even that for every group: one store for all layers, read by each in
        its own shape, again round robin (section 5.1, the paper's 7M).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from keras_superweights.allocation.allocation import Allocation
from keras_superweights.allocation.allocation import all_kernels
from keras_superweights.allocation.regions import Rectangle
from keras_superweights.allocation.specs import MemberSpec
from keras_superweights.allocation.superweight import BankSpec
from keras_superweights.allocation.superweight import SuperWeight
from keras_superweights.sharing import clusters
from keras_superweights.sharing.budget import SMALLER
from keras_superweights.sharing.budget import refuse
from keras_superweights.sharing.budget import unused_note
from keras_superweights.sharing.dealing import deal
from keras_superweights.sharing.flat import flat
from keras_superweights.sharing.flat import joined
from keras_superweights.sharing.selection import SelectiveRule
from keras_superweights.sharing.selection import keep
from keras_superweights.sharing.selection import restore
from keras_superweights.sharing.spending import Demand
from keras_superweights.sharing.spending import minimum_cost
from keras_superweights.sharing.spending import spend


@dataclass(frozen=True)
class MixtureEnsembles(SelectiveRule):
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
        kinds: Kinds of kernels to share, all by default; see `SelectiveRule`.
        exclude: Patterns of layers to leave out; see `SelectiveRule`.

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

    def allocate(
        self, members: Sequence[MemberSpec], budget_params: int
    ) -> Allocation:
        """The allocation of the members' kernels inside the budget.

        Raises:
            ValueError: If the budget is too small; names the smallest one. If
                `kinds` and `exclude` leave nothing, or a pattern is of none.
        """
        indices = self.chosen(members)
        chosen_only = keep(members, indices)
        kernels = all_kernels(chosen_only)
        groups = clusters.shapes(kernels)
        demands = [self._demand(kernels, group) for group in groups]
        scalars = budget_params - sum(m.other_params for m in chosen_only)
        if scalars >= minimum_cost(demands):
            counts = spend(demands, scalars)
            banks, superweights = self._groups(kernels, groups, counts)
            note = unused_note(demands, counts, scalars)
        else:
            banks, superweights = self._one_store(
                kernels, scalars, chosen_only, minimum_cost(demands)
            )
            spent = sum(b.size for b in banks) + sum(
                piece.num_coefficients for piece in superweights
            )
            note = ""
            if spent < scalars:
                note = (
                    f"{scalars - spent:,} scalars are left: with one more in "
                    "the store, layers would mix more templates."
                )
        return Allocation(
            members=tuple(members),
            banks=tuple(banks),
            superweights=restore(superweights, indices),
            budget_params=budget_params,
            sharing=str(self),
            note=note,
        )

    def _groups(self, kernels, groups, counts):
        """A bank for each group of layers of one shape (section 3.1)."""
        banks = []
        superweights = []
        for group, count in zip(groups, counts, strict=True):
            if count == 1 and len(group.kernels) == 1:
                continue  # nobody to share with: its layer keeps it
            superweights.append(
                self._mixture(kernels, len(banks), group.kernels, count)
            )
            size = kernels[group.kernels[0]].size
            banks.append(BankSpec(group.name, count * size))
        return banks, superweights

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

    def _mixture(self, kernels, bank, indices, count) -> SuperWeight:
        kernel = kernels[indices[0]]
        mixed = min(count, self.max_templates)
        choices = ()
        if count > mixed:
            choices = tuple(
                tuple((turn * mixed + i) % count for i in range(mixed))
                for turn in self._turns(kernels, indices)
            )
        return SuperWeight(
            bank=bank,
            window=kernel.window,
            region=(Rectangle(0, kernel.box[0], 0, kernel.box[1]),),
            kernels=indices,
            num_templates=count,
            ties=tuple(range(len(indices))) if count > 1 else (),
            choices=choices,
        )

    def _one_store(self, kernels, scalars, members, cost_of_groups):
        """One bank for all layers, read round robin (section 5.1)."""
        (group,) = clusters.all_in_one(kernels)

        def mixed(store, kernel):
            return min(self.max_templates, store // kernel.size)

        def cost(store):
            return store + sum(mixed(store, kernel) for kernel in kernels)

        largest = max(kernel.size for kernel in kernels)
        if scalars < cost(largest):
            others = sum(member.other_params for member in members)
            # Kernels of one shape need no coefficients as a group.
            minimum = min(cost(largest), cost_of_groups)
            refuse(
                others + scalars,
                others + minimum,
                self,
                members,
                others,
                SMALLER,
            )
        store = _largest(lambda size: cost(size) <= scalars, largest, scalars)
        layers = {}
        turns = self._turns(kernels, group.kernels)
        for index, turn in zip(group.kernels, turns, strict=True):
            layers.setdefault((turn, kernels[index].shape), []).append(index)
        sizes = [kernels[indices[0]].size for indices in layers.values()]
        views = deal(sizes, store, self.max_templates)
        superweights = [
            flat(0, indices, view)
            for indices, view in zip(layers.values(), views, strict=True)
        ]
        return [BankSpec(group.name, store)], joined(superweights, store)


def _largest(holds, low: int, high: int) -> int:
    """The largest integer in [low, high] up to which a condition holds."""
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low
