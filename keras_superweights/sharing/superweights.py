"""SuperWeights: nested pieces of clusters of layers (SWN)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from keras_superweights.allocation.allocation import Allocation
from keras_superweights.allocation.allocation import all_kernels
from keras_superweights.allocation.regions import nested_regions
from keras_superweights.allocation.specs import MemberSpec
from keras_superweights.allocation.superweight import BankSpec
from keras_superweights.allocation.superweight import SuperWeight
from keras_superweights.sharing.budget import refuse
from keras_superweights.sharing.budget import unused_note
from keras_superweights.sharing.clusters import Cluster
from keras_superweights.sharing.clusters import depth_bins
from keras_superweights.sharing.clusters import positions
from keras_superweights.sharing.clusters import reindexed
from keras_superweights.sharing.selection import SelectiveRule
from keras_superweights.sharing.selection import others_params
from keras_superweights.sharing.spending import Demand
from keras_superweights.sharing.spending import minimum_cost
from keras_superweights.sharing.spending import spend

# Where a bank serves few kernels, templates beyond one per kernel are the
# high-budget regime, bounded by this many.
HIGH_BUDGET_TEMPLATES = 8


@dataclass(frozen=True)
class SuperWeights(SelectiveRule):
    """Shares among layers of a cluster, of any width, member or depth.

    The kernels of a cluster are cut into nested pieces; each piece has a bank
    of templates of its own size, and each kernel mixes all templates of the
    banks that it reads. SWN, sections 1.1 and 2.

    Args:
        clusters: `"depth"`: layers at a similar depth over all members, the
            start of the papers' heterogeneous ensembles. `"position"`: the
            same layer of every member, which they use for homogeneous ones.
        depth_bins: Number of depth bins, 4 in the papers. Fewer bins share
            more and need fewer parameters.
        tied: Whether all kernels of a cluster use the same coefficients, as
            they do before anything is known of their gradients. By default
            each kernel has coefficients of its own.
        max_templates: The most templates in a bank. By default 8, or as many
            as the bank has kernels where these are more.
        kinds: Kinds of kernels to share, all by default; see `SelectiveRule`.
        exclude: Patterns of layers to leave out; see `SelectiveRule`. Bins and
            positions are counted over the others.

    Raises:
        TypeError: If `kinds` or `exclude` is not of strings.
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
        if self.clusters not in ("depth", "position"):
            raise ValueError(
                '`clusters` must be "depth" or "position". Received: '
                f"clusters={self.clusters!r}."
            )
        check_max_templates(self.max_templates)
        depth_bins([], self.depth_bins)  # refuses a bad number

    def allocate(
        self, members: Sequence[MemberSpec], budget_params: int
    ) -> Allocation:
        """The allocation of the members' kernels inside the budget.

        Raises:
            ValueError: If the budget is too small; names the smallest one. If
                `kinds` and `exclude` leave nothing, or a pattern is of none.
        """
        return self.allocate_clusters(
            members, budget_params, self.start_clusters(members)
        )

    def start_clusters(self, members: Sequence[MemberSpec]) -> list[Cluster]:
        """The clusters that the rule forms before anything is measured.

        Kernels that are not chosen are in none.
        """
        indices = self.chosen(members)
        every = all_kernels(members)
        kernels = [every[index] for index in indices]
        if self.clusters == "depth":
            found = depth_bins(kernels, self.depth_bins)
        else:
            found = positions(kernels)
        return reindexed(found, indices)

    def allocate_clusters(
        self,
        members: Sequence[MemberSpec],
        budget_params: int,
        clusters: Sequence[Cluster],
    ) -> Allocation:
        """The allocation for clusters that are known, such as learned ones.

        Kernels in none of them are left to their layers.

        Raises:
            ValueError: If the budget is too small; names the smallest one.
        """
        return nested_allocation(
            members,
            budget_params,
            clusters,
            self,
            max_templates=self.max_templates,
            tied=self.tied,
            hint="Fewer `depth_bins`, or `MixtureEnsembles`, may need less.",
        )

    def smallest_budget(
        self,
        members: Sequence[MemberSpec],
        clusters: Sequence[Cluster],
    ) -> int:
        """The scalars that these clusters need at least."""
        _, demands, fixed = _needs(members, clusters, self.max_templates)
        return fixed + minimum_cost(demands)


def check_max_templates(max_templates):
    """Refuses what is not a number of templates, nor None."""
    if max_templates is not None and (
        not isinstance(max_templates, int) or max_templates < 1
    ):
        raise ValueError(
            "`max_templates` must be a positive integer or None. "
            f"Received: max_templates={max_templates!r}."
        )


def nested_allocation(
    members: Sequence[MemberSpec],
    budget_params: int,
    clusters: Sequence[Cluster],
    sharing,
    *,
    max_templates: int | None,
    tied: bool = False,
    hint: str = "",
) -> Allocation:
    """Spends a budget on the nested pieces of clusters.

    Kernels that are in no cluster are left to their layers.

    Args:
        members: All members.
        budget_params: The budget.
        clusters: What shares, as indices of the members' kernels.
        sharing: The rule that asks, for the allocation and the error.
        max_templates: The most templates in a bank; see `SuperWeights`.
        tied: Whether kernels of a cluster use the same coefficients.
        hint: What the error for a budget that is too small advises.

    Raises:
        ValueError: If the budget is too small; names the smallest one.
    """
    kernels = all_kernels(members)
    pieces, demands, fixed = _needs(members, clusters, max_templates)
    smallest = fixed + minimum_cost(demands)
    if budget_params < smallest:
        refuse(budget_params, smallest, sharing, members, fixed, hint)
    counts = spend(demands, budget_params - fixed)
    banks = []
    superweights = []
    for (name, region, users), demand, count in zip(
        pieces, demands, counts, strict=True
    ):
        rows = range(len(users) if demand.coefficients(count) else 0)
        superweights.append(
            SuperWeight(
                bank=len(banks),
                window=kernels[users[0]].window,
                region=region,
                kernels=users,
                num_templates=count,
                ties=tuple(0 if tied else row for row in rows),
            )
        )
        banks.append(BankSpec(name, count * demand.size))
    return Allocation(
        members=tuple(members),
        banks=tuple(banks),
        superweights=tuple(superweights),
        budget_params=budget_params,
        sharing=str(sharing),
        note=unused_note(demands, counts, budget_params - fixed),
    )


def _needs(members, clusters, max_templates):
    """The pieces, what each demands, and what all else costs."""
    kernels = all_kernels(members)
    pieces = list(_pieces(kernels, clusters))
    demands = []
    for _, region, users in pieces:
        area = sum(rectangle.area for rectangle in region)
        size = math.prod(kernels[users[0]].window) * area
        most = max_templates or max(HIGH_BUDGET_TEMPLATES, len(users))
        # A single kernel needs no coefficient to use a single template.
        alone = len(users) == 1
        demands.append(
            Demand(size, len(users), most, mixed=most, plain_single=alone)
        )
    generated = [k for cluster in clusters for k in cluster.kernels]
    return pieces, demands, others_params(members, generated)


def _pieces(kernels, clusters):
    """Yields `(name, region, kernels that it serves)` of every piece."""
    for cluster in clusters:
        boxes = {}
        for index in cluster.kernels:
            boxes.setdefault(kernels[index].box, []).append(index)
        for number, region in enumerate(nested_regions(list(boxes))):
            users = sorted(
                index
                for box, indices in boxes.items()
                if any(rectangle.crop(box) for rectangle in region)
                for index in indices
            )
            yield f"{cluster.name} #{number}", region, tuple(users)
