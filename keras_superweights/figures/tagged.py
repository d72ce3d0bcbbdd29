"""The figures of a network and of a search, with their TensorBoard tags."""

import numpy as np

from keras_superweights.figures.clusters import cluster_membership
from keras_superweights.figures.diagnosis import diagnosis_heatmap
from keras_superweights.figures.labels import clusters_as_formed
from keras_superweights.figures.labels import kernel_names
from keras_superweights.figures.parameters import allocation_bars
from keras_superweights.figures.sharing import coefficient_matrix
from keras_superweights.figures.sharing import similarity_matrix

# Nobody looks at more, and drawing takes time.
MAX_COEFFICIENT_FIGURES = 12


def allocation_figures(allocation):
    """Yields `(tag, figure)` of the parameters and the clusters."""
    yield "allocation/parameters", allocation_bars(allocation)
    yield "allocation/clusters", cluster_membership(allocation)


def search_figures(refinement):
    """Yields `(tag, figure)` of the evidence of a search.

    Clusters have the numbers of the allocation that the search started from.
    Clusters of a single kernel, which cannot be split, are left out.

    Args:
        refinement: A `keras_superweights.search.Refinement`.
    """
    start = refinement.start
    yield "allocation/clusters_before", cluster_membership(start)
    names = kernel_names(start)
    for number, (cluster, similarity) in enumerate(
        zip(clusters_as_formed(start), refinement.similarities, strict=True)
    ):
        if len(cluster) == 1:
            continue
        groups = [
            tuple(cluster.index(kernel) for kernel in group)
            for group in refinement.allocation.clusters
            if set(group) <= set(cluster)
        ]
        split = f"split into {len(groups)}" if len(groups) > 1 else "not split"
        for moment, parts, title in (
            ("before", [range(len(cluster))], "before the search"),
            ("after", groups, f"after the search: {split}"),
        ):
            figure = similarity_matrix(
                similarity,
                [names[kernel] for kernel in cluster],
                parts,
                refinement.tries[-1].tau,
                f"Cluster {number}, {title}",
            )
            yield f"similarity/cluster_{number}_{moment}", figure


def coefficient_figures(network):
    """Yields `(tag, figure)` of the coefficients in use, tied rows equal.

    One figure per cluster, with all its SuperWeights, for the 12 largest
    clusters that mix templates. Kernels that are a single template or the
    mean of all are left out.

    Args:
        network: A `SuperWeightNetwork`.
    """
    allocation = network.allocation
    superweights = allocation.superweights
    names = kernel_names(allocation)
    matrices = {
        s: _coefficients(superweight, mixture)
        for s, (superweight, mixture) in enumerate(
            zip(superweights, network.generator.mixtures, strict=True)
        )
        if superweight.ties
    }
    mixing = {k for s in matrices for k in superweights[s].kernels}
    clusters = clusters_as_formed(allocation)
    for number in _largest(clusters, mixing):
        parts = _mixing_alike(allocation, matrices, clusters[number])
        rows = [kernel for part in parts for kernel in part]
        blocks = []
        flat = []
        for s, matrix in matrices.items():
            superweight = superweights[s]
            if superweight.kernels[0] in rows:
                # NaN where a kernel does not use the SuperWeight.
                block = np.full((len(rows), matrix.shape[1]), np.nan)
                block[[rows.index(k) for k in superweight.kernels]] = matrix
                alone = superweight.geometry.serves_any_shape
                (flat if alone else blocks).append(block)
        title = f"Coefficients of cluster {number}"
        count = len(clusters[number])
        if count > len(rows):
            title += f"\n({count - len(rows)} of its {count} kernels without)"
        figure = coefficient_matrix(
            blocks + _overlaid(flat),
            [names[k] for k in rows],
            title,
            [len(part) for part in parts],
        )
        yield f"coefficients/cluster_{number}", figure


def diagnosis_figures(allocation, history, epoch):
    """Yields `(tag, figure)` of the measures of a `SharingDiagnosis`.

    Args:
        allocation: The network's `Allocation`.
        history: The `history` of the diagnosis.
        epoch: The number of the last epoch measured.
    """
    for measure, rows in history.items():
        first = epoch - len(rows) + 1
        if not np.all(np.isnan(rows)):
            figure = diagnosis_heatmap(allocation, history, measure, first)
            yield f"diagnosis/{measure.replace(' ', '_')}", figure


def _coefficients(superweight, mixture):
    """Returns `(kernels, templates)`, NaN for templates not mixed."""
    matrix = np.array(mixture.matrix())
    for position, row in enumerate(matrix):
        others = np.ones(len(row), bool)
        others[list(superweight.templates_of(position))] = False
        row[others] = np.nan
    return matrix


def _mixing_alike(allocation, mixed, cluster):
    """Groups the kernels that mix by the templates of a flat store they use.

    Kernels of nested SuperWeights, which have columns of their own, are one
    group.
    """
    parts = {}
    for kernel in cluster:
        superweights = [
            allocation.superweights[s]
            for s, _ in allocation.composition[kernel]
            if s in mixed
        ]
        view = tuple(
            (each.bank, each.size, each.first, each.num_templates)
            for each in superweights
            if each.geometry.serves_any_shape
        )
        if superweights:
            parts.setdefault(view, []).append(kernel)
    return list(parts.values())


def _overlaid(blocks):
    """Returns blocks with disjoint rows as a list of one block, or none."""
    if not blocks:
        return []
    width = max(block.shape[1] for block in blocks)
    whole = np.full((len(blocks[0]), width), np.nan)
    for block in blocks:
        part = whole[:, : block.shape[1]]
        part[:] = np.where(np.isnan(block), part, block)
    return [whole]


def _largest(clusters, mixing):
    """Returns the ascending numbers of the largest clusters that mix."""
    numbers = [
        number
        for number, cluster in enumerate(clusters)
        if len(cluster) > 1 and mixing & set(cluster)
    ]
    numbers.sort(key=lambda number: -len(clusters[number]))
    return sorted(numbers[:MAX_COEFFICIENT_FIGURES])
