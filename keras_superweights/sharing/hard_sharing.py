"""HardSharing: one kernel for several layers, used as it is."""

from dataclasses import dataclass

from keras_superweights import parts
from keras_superweights.arguments import check_choice
from keras_superweights.sharing import clusters
from keras_superweights.sharing.plan import SMALLER
from keras_superweights.sharing.plan import Plan
from keras_superweights.sharing.rule import Rule

_GROUPS = {
    "network": clusters.shapes_in_members,
    "members": clusters.same_layers,
    "both": clusters.shapes,
}


@dataclass(frozen=True)
class HardSharing(Rule):
    """Gives several layers one and the same kernel.

    After the poster "Investigating Parameter Sharing in Neural Networks"
    (Fastner, Lanz, Pokel and Riedl, DTU), which compares early, deep and all
    layers, shared within the network, between the ensemble members, and both.
    It gives few details; this is our reading. Only kernels of equal kind and
    shape can be one ("to avoid dimensional mismatch"). Early and deep are the
    halves of each member by depth, among the layers that `kinds` and `exclude`
    leave; an odd layer in the middle is early. For the BatchEnsemble vectors
    of its ensembles, pass `transforms=ksw.parts.RankOne()`.

    There are no coefficients, and the number of parameters follows from the
    members. Layers outside the half, and layers without one to share with,
    keep their own kernels.

    Args:
        layers: `"early"`, `"deep"` or `"all"`: which layers of each member
            share.
        scope: Who shares one kernel. `"network"`: layers of one member of
            equal kind and shape. `"members"`: the same layer of every member,
            the i-th of its kind and shape among those that share; deeper
            members keep the rest. `"both"`: all layers of all members of
            equal kind and shape.
        kinds, exclude, transforms: See `Rule`.

    Raises:
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
        check_choice("layers", self.layers, ("early", "deep", "all"))
        check_choice("scope", self.scope, _GROUPS)

    def plan(self, kernels, scalars):
        groups = self._groups(kernels)
        shared = {index for group in groups for index in group.kernels}
        plan = Plan(private=[i for i in range(len(kernels)) if i not in shared])
        for group in groups:
            plan.add(
                name=group.name,
                kernels=group.kernels,
                geometry=parts.Region.of(kernels[group.kernels[0]]),
                mixing=parts.Plain(),
            )
        kept = sum(kernels[index].size for index in plan.private)
        Plan.require(plan.cost(kernels), scalars, kept, hint=SMALLER)
        return plan

    def _groups(self, kernels):
        """Returns the groups of kernels to be one, none of them alone."""
        indices = range(len(kernels))
        if self.layers != "all":
            early = _early(kernels)
            wanted = self.layers == "early"
            indices = [i for i in indices if (i in early) == wanted]
        groups = _GROUPS[self.scope]([kernels[i] for i in indices])
        return [
            group
            for group in clusters.reindexed(groups, indices)
            if len(group.kernels) > 1
        ]


def _early(kernels) -> set[int]:
    """Returns the kernels in the early half of their member's layers."""
    layers = {}  # of each member, in order
    for kernel in kernels:
        places = layers.setdefault(kernel.member, {})
        places.setdefault(kernel.layer, len(places))
    return {
        index
        for index, kernel in enumerate(kernels)
        if 2 * layers[kernel.member][kernel.layer] < len(layers[kernel.member])
    }
