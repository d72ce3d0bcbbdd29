"""SuperWeights: nested regions of clusters of layers (SWN)."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from keras_superweights import parts
from keras_superweights.allocation.allocation import Allocation
from keras_superweights.allocation.regions import nested_regions
from keras_superweights.allocation.specs import MemberSpec
from keras_superweights.arguments import check_choice
from keras_superweights.arguments import check_integer
from keras_superweights.sharing import spending
from keras_superweights.sharing.clusters import Cluster
from keras_superweights.sharing.clusters import depth_bins
from keras_superweights.sharing.clusters import positions
from keras_superweights.sharing.clusters import reindexed
from keras_superweights.sharing.plan import Plan
from keras_superweights.sharing.rule import Rule

# With few kernels per bank, more templates than kernels are the high-budget
# regime, bounded by this number.
HIGH_BUDGET_TEMPLATES = 8


@dataclass(frozen=True)
class SuperWeights(Rule):
    """Shares among layers of a cluster, of any width, member or depth.

    The kernels of a cluster are cut into nested regions; each region has a
    bank of templates of its own size, and each kernel mixes all templates of
    the banks that it reads. SWN, sections 1.1 and 2.

    Args:
        clusters: `"depth"`: layers at a similar depth over all members, as the
            papers start for heterogeneous ensembles. `"position"`: the same
            layer of every member, as they do for homogeneous ones.
        depth_bins: Number of depth bins, 4 in the papers. Fewer bins share
            more and need fewer parameters.
        tied: Whether all kernels of a cluster use the same coefficients, as
            before anything is known of their gradients. By default each
            kernel has its own coefficients.
        max_templates: The most templates in a bank. By default 8, or the
            number of the bank's kernels if that is larger.
        kinds, exclude, transforms: See `Rule`. Bins and positions are counted
            over the chosen layers.

    Raises:
        ValueError: If an argument is not one of the above.

    Example:

    >>> from keras_superweights.allocation import KernelSpec
    >>> from keras_superweights.allocation import MemberSpec
    >>> kernels = tuple(KernelSpec(0, name, (3, 3, 8, 8)) for name in "ab")
    >>> member = MemberSpec("net", kernels, other_params=10)
    >>> SuperWeights(depth_bins=1).allocate([member], 600).num_params
    588
    """

    clusters: str = "depth"
    depth_bins: int = 4
    tied: bool = False
    max_templates: int | None = None

    def __post_init__(self):
        super().__post_init__()
        check_choice("clusters", self.clusters, ("depth", "position"))
        check_integer("depth_bins", self.depth_bins)
        if self.max_templates is not None:
            check_integer("max_templates", self.max_templates)

    def plan(self, kernels, scalars):
        found = self._form_clusters(kernels)
        return self._plan_clusters(kernels, scalars, found)

    def start_clusters(self, members: Sequence[MemberSpec]) -> list[Cluster]:
        """Forms the clusters of the chosen kernels, before any measurement."""
        found = self._form_clusters(self.chosen_kernels(members))
        return reindexed(found, self.chosen(members))

    def allocate_clusters(
        self,
        members: Sequence[MemberSpec],
        budget_params: int,
        clusters: Sequence[Cluster],
    ) -> Allocation:
        """Allocates given clusters, such as learned ones.

        Kernels in none of them stay private.

        Raises:
            ValueError: If the budget is too small; names the smallest one.
        """
        found = self._of_chosen(members, clusters)
        plan = functools.partial(self._plan_clusters, clusters=found)
        return self.allocate(members, budget_params, plan)

    def smallest_budget(
        self, members: Sequence[MemberSpec], clusters: Sequence[Cluster]
    ) -> int:
        """Returns the smallest budget for these clusters."""
        found = self._of_chosen(members, clusters)
        kernels = self.chosen_kernels(members)
        nested = Nested(kernels, found, self.max_templates)
        return self.fixed_params(members, kernels) + nested.needed

    def _form_clusters(self, kernels):
        if self.clusters == "depth":
            return depth_bins(kernels, self.depth_bins)
        return positions(kernels)

    def _of_chosen(self, members, clusters):
        """Converts indices among all kernels to those among chosen ones."""
        places = {k: place for place, k in enumerate(self.chosen(members))}
        return reindexed(clusters, places)

    def _plan_clusters(self, kernels, scalars, clusters):
        nested = Nested(kernels, clusters, self.max_templates)
        hint = "Fewer `depth_bins`, or `MixtureEnsembles`, may need less."
        return nested.plan(scalars, tied=self.tied, hint=hint)


class Nested:
    """The nested regions of clusters, and their cost.

    Args:
        kernels: The kernels that a rule may share.
        clusters: Clusters of these, by index. Kernels in none stay private.
        max_templates: The most templates in a bank; see `SuperWeights`.

    Attributes:
        needed: Scalars that all kernels need at least, private ones included.
    """

    def __init__(self, kernels, clusters, max_templates):
        served = {k for cluster in clusters for k in cluster.kernels}
        self._private = [i for i in range(len(kernels)) if i not in served]
        self._kept = sum(kernels[k].size for k in self._private)
        # `(name, geometry, kernels that it serves)` of every region.
        self._regions = list(_regions(kernels, clusters))
        self._demands = []
        for _, geometry, users in self._regions:
            count = len(users)
            most = max_templates or max(HIGH_BUDGET_TEMPLATES, count)
            # A single kernel needs no coefficient for one template.
            self._demands.append(
                spending.Demand(geometry.size, count, most, most, count == 1)
            )
        self.needed = self._kept + spending.minimum_cost(self._demands)

    def plan(self, scalars, tied=False, hint="") -> Plan:
        """Spends the scalars of all kernels on templates.

        The hint is advice in the error for too few scalars.
        """
        Plan.require(self.needed, scalars, self._kept, hint)
        scalars -= self._kept
        counts = spending.spend(self._demands, scalars)
        reason = spending.unused_reason(self._demands, counts)
        plan = Plan(self._private, reason)
        for (name, geometry, users), demand, count in zip(
            self._regions, self._demands, counts, strict=True
        ):
            mixing = parts.Plain()
            if demand.coefficients(count):
                ties = [0] * len(users) if tied else range(len(users))
                mixing = parts.WeightedSum(tuple(ties))
            plan.add(name, users, geometry, mixing, count)
        return plan


def _regions(kernels, clusters):
    for cluster in clusters:
        boxes = {index: kernels[index].box for index in cluster.kernels}
        window = kernels[cluster.kernels[0]].window
        for number, region in enumerate(nested_regions(list(boxes.values()))):
            users = sorted(
                index
                for index, box in boxes.items()
                if any(rectangle.crop(box) for rectangle in region)
            )
            name = f"{cluster.name} #{number}"
            yield name, parts.Region(window, region), tuple(users)
