"""What to draw of a network and of a search, each with its TensorBoard tag."""

import numpy as np

from keras_superweights.figures.sharing import allocation_bars
from keras_superweights.figures.sharing import cluster_membership
from keras_superweights.figures.sharing import coefficient_matrix
from keras_superweights.figures.sharing import similarity_matrix

# More of them are not looked at, and drawing takes its time.
MAX_COEFFICIENT_FIGURES = 12


def allocation_figures(allocation):
    """Yields `(tag, figure)` of where the parameters are and who shares."""
    yield "allocation/parameters", allocation_bars(allocation)
    yield "allocation/clusters", cluster_membership(allocation)


def search_figures(refinement):
    """Yields `(tag, figure)` of the evidence of a search.

    Clusters have the numbers of the allocation that the search started from.
    Those of a single kernel, which nothing can split, are left out.

    Args:
        refinement: A `keras_superweights.search.Refinement`.
    """
    start = refinement.start
    yield "allocation/clusters_before", cluster_membership(start)
    names = _kernel_names(start)
    for cluster, similarity in zip(
        _in_order_of_forming(start), refinement.similarities, strict=True
    ):
        if len(cluster) == 1:
            continue
        number = start.clusters.index(cluster)
        groups = [
            tuple(cluster.index(kernel) for kernel in group)
            for group in refinement.allocation.clusters
            if set(group) <= set(cluster)
        ]
        whole = [tuple(range(len(cluster)))]
        outcome = f"split into {len(groups)}"
        if len(groups) == 1:
            outcome = "not split"
        for moment, parts, title in (
            ("before", whole, "before the search"),
            ("after", groups, f"after the search: {outcome}"),
        ):
            yield (
                f"similarity/cluster_{number}_{moment}",
                similarity_matrix(
                    similarity,
                    [names[kernel] for kernel in cluster],
                    parts,
                    refinement.tries[-1].tau,
                    f"Cluster {number}, {title}",
                ),
            )


def _in_order_of_forming(allocation):
    """The clusters in the order that the sharing rule formed them in."""
    cluster_of = {k: c for c in allocation.clusters for k in c}
    return list(
        dict.fromkeys(cluster_of[p.kernels[0]] for p in allocation.superweights)
    )


def coefficient_figures(network):
    """Yields `(tag, figure)` of the coefficients in use, tied rows equal.

    One a cluster, with all its SuperWeights; of the clusters that mix
    templates, the 12 with the most kernels.

    Args:
        network: A `SuperWeightNetwork`.
    """
    allocation = network.allocation
    names = _kernel_names(allocation)
    matrices = {
        s: np.array(mixture.matrix())
        for s, mixture in enumerate(network.generator.mixtures)
        if mixture is not None
    }
    for number in _largest_clusters(allocation, matrices):
        cluster = allocation.clusters[number]
        blocks = []
        flat = []
        for s, matrix in matrices.items():
            piece = allocation.superweights[s]
            if piece.kernels[0] in cluster:
                # Blank where a kernel does not use the SuperWeight.
                block = np.full((len(cluster), matrix.shape[1]), np.nan)
                rows = [cluster.index(kernel) for kernel in piece.kernels]
                block[rows] = matrix
                (flat if piece.length else blocks).append(block)
        yield (
            f"coefficients/cluster_{number}",
            coefficient_matrix(
                blocks + _one_below_the_other(flat),
                [names[k] for k in cluster],
                f"Coefficients of cluster {number}",
            ),
        )


def _one_below_the_other(blocks):
    """Blocks of which every row has one, as a single block, or none."""
    if not blocks:
        return []
    width = max(block.shape[1] for block in blocks)
    whole = np.full((len(blocks[0]), width), np.nan)
    for block in blocks:
        part = whole[:, : block.shape[1]]
        part[:] = np.where(np.isnan(block), part, block)
    return [whole]


def _largest_clusters(allocation, mixed):
    """Numbers of clusters that share and mix, ascending."""
    mixing = {k for s in mixed for k in allocation.superweights[s].kernels}
    numbers = [
        number
        for number, cluster in enumerate(allocation.clusters)
        if len(cluster) > 1 and mixing & set(cluster)
    ]
    numbers.sort(key=lambda number: -len(allocation.clusters[number]))
    return sorted(numbers[:MAX_COEFFICIENT_FIGURES])


def _kernel_names(allocation):
    return [f"{k.member}: {k.layer}" for k in allocation.kernels]
