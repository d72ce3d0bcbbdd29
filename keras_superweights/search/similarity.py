"""Gradient similarity of kernels, from sums of gradients (NumPy only).

For kernels i, j of one cluster, with gradients summed over all steps of one
epoch and over all replicas (SWN, sections 2 and 3.5):

    psi_W(i, j) = cos(sum_b dL_b/dW_i, sum_b dL_b/dW_j)
    psi_C(i, j) = cos(sum_b dL_b/dC_i, sum_b dL_b/dC_j)

psi_W is taken on the box that both kernels cover, psi_C over the banks that
both use. Both are computed from sums of inner products over SuperWeights, so
only one small Gram matrix per SuperWeight and box is kept of the gradients.

Kernels are compared by the SuperWeights that they mix. A flat SuperWeight has
no place on the plane of inputs and outputs and is compared whole: its box is
`None`. Kernels that use a plain SuperWeight have one gradient between them,
which does not tell whether they agree.

A gradient of zero (of an unused layer, say) neither agrees nor conflicts: its
similarity to others is 0, to itself 1. A gradient of NaN or infinity is none:
all functions here refuse it (`ValueError`), and name its layer.
"""

import numpy as np


def weight_similarity(allocation, cluster, grams):
    """Computes psi_W of a cluster, given by the indices of its kernels.

    `grams` holds, for each SuperWeight of the allocation that was recorded, a
    dict from common box to the Gram matrix, `(kernels served, kernels served)`,
    of the gradients of its vectors inside that box. Returns a symmetric array
    `(n, n)` in [-1, 1] with diagonal 1.
    """

    def gram_of(s, one, other):
        superweight = allocation.superweights[s]
        if not superweight.mixing.mixes:
            return None
        box = superweight.geometry.common_box(
            allocation.kernels[cluster[one]], allocation.kernels[cluster[other]]
        )
        return grams[s].get(box)

    return _cosines(allocation, cluster, gram_of)


def coefficient_similarity(allocation, cluster, gradients):
    """Computes psi_C of a cluster, as `weight_similarity` does psi_W.

    `gradients` holds, for each SuperWeight of the allocation, the gradients of
    each kernel's coefficients, `(kernels served, templates)`, as if untied.
    """
    exact = [np.asarray(each, "float64") for each in gradients]
    grams = [each @ each.T for each in exact]

    def gram_of(s, one, other):
        return grams[s] if allocation.superweights[s].ties else None

    return _cosines(allocation, cluster, gram_of)


def unused_kernels(allocation, grams):
    """Returns the indices of shared kernels whose summed gradient is zero.

    Kernels that use a plain SuperWeight are unused only together.
    """
    used = set()
    for superweight, boxes in zip(allocation.superweights, grams, strict=True):
        for gram in boxes.values():
            # A plain SuperWeight has one gradient for all its kernels.
            served = superweight.kernels
            squares = np.broadcast_to(np.diag(gram), len(served))
            for kernel, square in zip(served, squares, strict=True):
                _check_finite(allocation.kernels[kernel], square)
                if square > 0:
                    used.add(kernel)
    return tuple(
        index
        for index, parts in enumerate(allocation.composition)
        if parts and index not in used
    )


def _cosines(allocation, cluster, gram_of):
    """Computes cosines of sums over the SuperWeights two kernels share."""
    count = len(cluster)
    rows = [dict(allocation.composition[kernel]) for kernel in cluster]
    similarity = np.eye(count)
    for one in range(count):
        for other in range(one):
            products = np.zeros(3)  # <i, j>, <i, i>, <j, j>
            for s in rows[one].keys() & rows[other].keys():
                gram = gram_of(s, one, other)
                if gram is not None:
                    i, j = rows[one][s], rows[other][s]
                    products += gram[i, j], gram[i, i], gram[j, j]
            for place, square in ((one, products[1]), (other, products[2])):
                _check_finite(allocation.kernels[cluster[place]], square)
            norm = np.sqrt(products[1] * products[2])
            cosine = np.clip(products[0] / norm, -1, 1) if norm > 0 else 0.0
            similarity[one, other] = similarity[other, one] = cosine
    return similarity


def _check_finite(kernel, square):
    """Refuses a squared norm of a kernel's gradient that is not finite."""
    if not np.isfinite(square):
        raise ValueError(
            "Gradients that are compared must be finite. Received: a squared "
            f"norm of {square} for layer '{kernel.layer}' of member "
            f"{kernel.member}, in the epoch that was recorded. Look for NaN "
            "and infinity in the data, or lower the learning rate."
        )
