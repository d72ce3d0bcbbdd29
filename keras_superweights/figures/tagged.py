"""What to draw of a network and of a search, each with its TensorBoard tag."""

import numpy as np

from keras_superweights.figures.clusters import cluster_membership
from keras_superweights.figures.labels import clusters_as_formed
from keras_superweights.figures.labels import kernel_names
from keras_superweights.figures.parameters import allocation_bars
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


def coefficient_figures(network):
    """Yields `(tag, figure)` of the coefficients in use, tied rows equal.

    One a cluster, with all its SuperWeights; of the clusters that mix
    templates, the 12 with the most kernels. Kernels that mix none, made of a
    single template or of all in equal parts, are left out.

    Args:
        network: A `SuperWeightNetwork`.
    """
    allocation = network.allocation
    names = kernel_names(allocation)
    matrices = {
        s: _coefficients(superweight, mixture)
        for s, (superweight, mixture) in enumerate(
            zip(
                allocation.superweights,
                network.generator.mixtures,
                strict=True,
            )
        )
        if superweight.ties
    }
    mixing = {k for s in matrices for k in allocation.superweights[s].kernels}
    clusters = clusters_as_formed(allocation)
    for number in _largest(clusters, mixing):
        parts = _mixing_alike(allocation, matrices, clusters[number])
        rows = [kernel for part in parts for kernel in part]
        blocks = []
        flat = []
        for s, matrix in matrices.items():
            superweight = allocation.superweights[s]
            if superweight.kernels[0] in rows:
                # Blank where a kernel does not use the SuperWeight.
                block = np.full((len(rows), matrix.shape[1]), np.nan)
                block[[rows.index(k) for k in superweight.kernels]] = matrix
                alone = superweight.geometry.serves_any_shape
                (flat if alone else blocks).append(block)
        title = f"Coefficients of cluster {number}"
        rest = len(clusters[number]) - len(rows)
        if rest:
            title += (
                f"\n({rest} of its {len(clusters[number])} kernels without)"
            )
        yield (
            f"coefficients/cluster_{number}",
            coefficient_matrix(
                blocks + _one_below_the_other(flat),
                [names[k] for k in rows],
                title,
                [len(part) for part in parts],
            ),
        )


def _coefficients(superweight, mixture):
    """`(kernels, templates)`, blank where a kernel does not mix a template."""
    matrix = np.array(mixture.matrix())
    for position, row in enumerate(matrix):
        others = np.ones(len(row), bool)
        others[list(superweight.templates_of(position))] = False
        row[others] = np.nan
    return matrix


def _mixing_alike(allocation, mixed, cluster):
    """The kernels that mix, those of the same templates of a store together.

    Kernels of nested SuperWeights are all together: each SuperWeight has
    columns of its own.
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


def _largest(clusters, mixing):
    """Numbers of clusters that share and mix, ascending."""
    numbers = [
        number
        for number, cluster in enumerate(clusters)
        if len(cluster) > 1 and mixing & set(cluster)
    ]
    numbers.sort(key=lambda number: -len(clusters[number]))
    return sorted(numbers[:MAX_COEFFICIENT_FIGURES])
