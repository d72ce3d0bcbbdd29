"""HardSharing: one kernel for several layers, used as it is."""

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
from keras_superweights.sharing.selection import SelectiveRule
from keras_superweights.sharing.selection import others_params

_GROUPS = {
    "network": clusters.shapes_in_members,
    "members": clusters.same_layers,
    "both": clusters.shapes,
}


@dataclass(frozen=True)
class HardSharing(SelectiveRule):
    """Gives several layers one and the same kernel.

    After the poster "Investigating Parameter Sharing in Neural Networks"
    (Fastner, Lanz, Pokel and Riedl, DTU), which compares early, deep and all
    layers, shared within the network, between the ensemble members, and both.
    It says little more; this is how it is read here. Kernels can only be one
    where kind and shape are equal ("to avoid dimensional mismatch"). Early and
    deep are the halves of each member by order of depth, counted over the
    layers that `kinds` and `exclude` leave; of an odd number, the one in the
    middle is early. Its ensembles also have BatchEnsemble's own vectors for
    each member; nothing of that is here.

    There are no coefficients, and no size to choose: the number of parameters
    follows from the members. Layers outside the half, and layers without one
    to share with, keep kernels of their own.

    Args:
        layers: `"early"`, `"deep"` or `"all"`: which layers of each member
            share.
        scope: Who shares one kernel. `"network"`: those layers of a member
            that are of equal kind and shape. `"members"`: the same layer of
            every member, that is the i-th of its kind and shape among those
            that share; a deeper member keeps what it has more. `"both"`: all
            that are of equal kind and shape, over layers and members.
        kinds: Kinds of kernels to share, all by default; see `SelectiveRule`.
        exclude: Patterns of layers to leave out; see `SelectiveRule`.

    Raises:
        TypeError: If `kinds` or `exclude` is not of strings.
        ValueError: If an argument is not one of the above.

    Example:

    >>> from keras_superweights.allocation import KernelSpec
    >>> from keras_superweights.allocation import MemberSpec
    >>> kernels = tuple(KernelSpec(0, name, (3, 3, 8, 8)) for name in "abcd")
    >>> member = MemberSpec("net", kernels, other_params=10)
    >>> HardSharing(layers="deep").allocate([member], 2000).num_params
    1738
    """

    layers: str = "all"
    scope: str = "network"

    def __post_init__(self):
        super().__post_init__()
        if self.layers not in ("early", "deep", "all"):
            raise ValueError(
                '`layers` must be "early", "deep" or "all". Received: '
                f"layers={self.layers!r}."
            )
        if self.scope not in _GROUPS:
            raise ValueError(
                f"`scope` must be one of {list(_GROUPS)}. Received: "
                f"scope={self.scope!r}."
            )

    def allocate(
        self, members: Sequence[MemberSpec], budget_params: int
    ) -> Allocation:
        """The allocation of the members' kernels, if the budget allows it.

        Raises:
            ValueError: If the budget is too small; names what is needed. If
                `kinds` and `exclude` leave nothing, or a pattern is of none.
        """
        kernels = all_kernels(members)
        banks = []
        superweights = []
        for group in self._groups(kernels, self.chosen(members)):
            kernel = kernels[group.kernels[0]]
            superweights.append(
                SuperWeight(
                    bank=len(banks),
                    window=kernel.window,
                    region=(Rectangle(0, kernel.box[0], 0, kernel.box[1]),),
                    kernels=group.kernels,
                    num_templates=1,
                    ties=(),
                )
            )
            banks.append(BankSpec(group.name, kernel.size))
        shared = [k for piece in superweights for k in piece.kernels]
        kept = others_params(members, shared)
        needed = kept + sum(bank.size for bank in banks)
        if budget_params < needed:
            refuse(budget_params, needed, self, members, kept, SMALLER)
        return Allocation(
            members=tuple(members),
            banks=tuple(banks),
            superweights=tuple(superweights),
            budget_params=budget_params,
            sharing=str(self),
            note=unused_note((), (), budget_params - needed),
        )

    def _groups(self, kernels, indices):
        """The kernels that are one, group by group; never one alone."""
        if self.layers != "all":
            early = _early(kernels, indices)
            wanted = self.layers == "early"
            indices = [i for i in indices if (i in early) == wanted]
        groups = _GROUPS[self.scope]([kernels[i] for i in indices])
        return [
            group
            for group in clusters.reindexed(groups, indices)
            if len(group.kernels) > 1
        ]


def _early(kernels, indices) -> set[int]:
    """Those of the kernels that lie in the early half of their member.

    A layer's kernels lie in the same half.
    """
    places = {}  # of each layer, in each member
    for index in indices:
        layers = places.setdefault(kernels[index].member, {})
        layers.setdefault(kernels[index].layer, len(layers))
    early = set()
    for index in indices:
        layers = places[kernels[index].member]
        if 2 * layers[kernels[index].layer] < len(layers):
            early.add(index)
    return early
