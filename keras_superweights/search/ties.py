"""Ties, as pure data: which kernels use one row of coefficients."""

from collections.abc import Mapping
from collections.abc import Sequence

import numpy as np

from keras_superweights.allocation.allocation import Allocation
from keras_superweights.search.grouping import group_above
from keras_superweights.sharing.clusters import Cluster


def cluster_ties(allocation):
    """Returns the ties of a network whose clusters are fully tied.

    Only kernels that mix the same templates are tied. In banks that serve any
    shape, kernels that must start at different scales are not.
    """
    ties = []
    for superweight in allocation.superweights:
        mixed = [
            (
                superweight.mixing.templates_of(row, superweight.num_templates),
                superweight.geometry.serves_any_shape
                and allocation.kernels[kernel].variance,
            )
            for row, kernel in enumerate(superweight.kernels)
        ]
        is_tied = bool(superweight.ties)
        ties.append(tuple(map(mixed.index, mixed)) if is_tied else ())
    return ties


def split_ties(
    allocation: Allocation,
    ties: Sequence[Sequence[int]],
    group_of: Mapping[int, int],
) -> list[tuple[int, ...]]:
    """Returns the ties that are left when kernels of different groups part.

    Takes ties for each SuperWeight, and the group of each kernel.
    """
    left = []
    for superweight, rows in zip(allocation.superweights, ties, strict=True):
        keys = [
            (group_of[kernel], row)
            # Without rows, the kernels have nothing to tie.
            for kernel, row in zip(superweight.kernels, rows, strict=False)
        ]
        left.append(tuple(map(keys.index, keys)))
    return left


def tied_inside_members(
    allocation: Allocation,
    measured: Allocation,
    start: Sequence[Cluster],
    similarities: Sequence[np.ndarray],
    beta: float,
) -> Allocation:
    """Ties the kernels of one member and cluster that are alike.

    Kernels of different members are never tied: they would stay copies. Nor are
    those that had a single template in common when they were measured, unless
    `beta` is below 0: the cosine of two numbers is 1 or -1 whatever they are.

    Args:
        allocation: The refined allocation.
        measured: The allocation that was pretrained.
        start: The clusters that were measured, which it refines.
        similarities: psi_C of the kernels of each of these.
        beta: Threshold on psi_C, for Algorithm 1.
    """
    cluster_of = {
        kernel: number
        for number, cluster in enumerate(allocation.clusters)
        for kernel in cluster
    }
    group_of = {}
    for cluster, similarity in zip(start, similarities, strict=True):
        parts = {}
        for place, kernel in enumerate(cluster.kernels):
            key = cluster_of[kernel], allocation.kernels[kernel].member
            parts.setdefault(key, []).append(place)
        for places in parts.values():
            inside = similarity[np.ix_(places, places)]
            kernels = [cluster.kernels[place] for place in places]
            inside = np.where(_tells(measured, kernels), inside, 0.0)
            for group in group_above(inside, beta):
                tied = [kernels[each] for each in group]
                group_of |= dict.fromkeys(tied, tied[0])
    ties = split_ties(allocation, cluster_ties(allocation), group_of)
    return allocation.with_ties(ties)


def _tells(allocation, kernels):
    """Returns whether each pair mixes two templates or more in common."""
    common = np.zeros((len(kernels), len(kernels)))
    for superweight in allocation.superweights:
        if superweight.ties:
            reads = np.isin(kernels, superweight.kernels)
            common += superweight.num_templates * np.outer(reads, reads)
    return common > 1
