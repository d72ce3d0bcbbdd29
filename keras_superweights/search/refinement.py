"""Refining an allocation by measured similarities: pure data."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import fields

import numpy as np

from keras_superweights.allocation.allocation import Allocation
from keras_superweights.arguments import check_number
from keras_superweights.arguments import check_type
from keras_superweights.search.grouping import group_above
from keras_superweights.search.ties import tied_inside_members
from keras_superweights.sharing.clusters import Cluster
from keras_superweights.sharing.superweights import SuperWeights

TAU_STEP = 0.05


@dataclass(frozen=True)
class Try:
    """A threshold, the clusters it gives, and the scalars they need."""

    tau: float
    num_clusters: int
    smallest_budget: int


@dataclass(frozen=True)
class Measurement:
    """What a pretraining has measured, for `refine` to decide on.

    Attributes:
        start: The allocation that was pretrained.
        similarities: psi_W of the kernels of each starting cluster.
        coefficient_similarities: psi_C of the same.
        unused: Kernels whose gradient was zero throughout.
    """

    start: Allocation
    similarities: tuple[np.ndarray, ...]
    coefficient_similarities: tuple[np.ndarray, ...]
    unused: tuple[int, ...]


@dataclass(frozen=True)
class Refinement(Measurement):
    """The outcome of a search: a `Measurement` and what follows from it.

    Attributes:
        allocation: The refined allocation. Its ties are what beta decided.
        tries: Every threshold tried, the last being the one in force.
    """

    allocation: Allocation
    tries: tuple[Try, ...]


def refinable(sharing: SuperWeights | None) -> SuperWeights:
    """Returns the rule that a search starts from: the given one, tied."""
    rule = SuperWeights() if sharing is None else sharing
    if not isinstance(rule, SuperWeights) or rule.clusters != "depth":
        raise TypeError(
            "A search refines the depth bins of `sharing`, which must be a "
            '`SuperWeights` with clusters="depth". '
            f"Received: sharing={sharing!r}."
        )
    return dataclasses.replace(rule, tied=True)


def refine(
    measured: Measurement,
    sharing: SuperWeights | None = None,
    tau=0.1,
    beta: float | None = 0.9,
) -> Refinement:
    """Decides which kernels share, and which of them coefficients as well.

    Args:
        measured: The result of `measure_similarity`.
        sharing: The rule that it was measured with.
        tau, beta: As for `find_clusters`.

    Raises:
        TypeError, ValueError: If the rule cannot be refined, a threshold is
            out of range, or the budget is too small.
    """
    check_type(
        "measured",
        measured,
        isinstance(measured, Measurement),
        "what `search.measure_similarity` returned",
    )
    check_thresholds(tau, beta)
    start = measured.start
    rule = refinable(sharing)
    if beta is not None:
        rule = dataclasses.replace(rule, tied=False)
    allocation, tries = fit_clusters(
        start.members, rule, measured.similarities, tau, start.budget_params
    )
    if beta is not None:
        allocation = tied_inside_members(
            allocation,
            start,
            rule.start_clusters(start.members),
            measured.coefficient_similarities,
            beta,
        )
    known = {f.name: getattr(measured, f.name) for f in fields(Measurement)}
    return Refinement(**known, allocation=allocation, tries=tries)


def check_thresholds(tau: float, beta: float | None):
    """Raises an error unless both are thresholds, or beta is None."""
    check_number("tau", tau, least=-1, most=1)
    if beta is not None:
        check_number("beta", beta, least=-1, most=1)


def refine_clusters(
    start: Sequence[Cluster],
    similarities: Sequence[np.ndarray],
    tau: float,
) -> list[Cluster]:
    """Splits every starting cluster by Algorithm 1; never merges any."""
    clusters = []
    for cluster, similarity in zip(start, similarities, strict=True):
        groups = group_above(similarity, tau)
        for number, group in enumerate(groups):
            name = cluster.name
            if len(groups) > 1:
                name = f"{name} group{number}"
            kernels = tuple(cluster.kernels[i] for i in group)
            clusters.append(Cluster(name, kernels))
    return clusters


def fit_clusters(
    members,
    rule: SuperWeights,
    similarities: Sequence[np.ndarray],
    tau: float,
    budget_params: int,
) -> tuple[Allocation, tuple[Try, ...]]:
    """Refines clusters, lowering tau by 0.05 until the budget can be met.

    The authors lower it likewise. At -1 the starting clusters remain, the
    least that the rule needs; if they do not fit, the error names the smallest
    budget. Returns the allocation, with the ties of the rule, and the tries.
    """
    start = rule.start_clusters(members)
    tries = []
    while True:
        clusters = refine_clusters(start, similarities, tau)
        needed = rule.smallest_budget(members, clusters)
        tries.append(Try(tau, len(clusters), needed))
        if needed <= budget_params or tau == -1:
            break
        tau = max(-1.0, round(tau - TAU_STEP, 10))
    return (
        rule.allocate_clusters(members, budget_params, clusters),
        tuple(tries),
    )
