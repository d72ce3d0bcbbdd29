"""Gradient similarity of kernels, from sums of gradients (NumPy only).

For kernels i, j of one cluster, with gradients summed over all steps of one
epoch and over all replicas (SWN, sections 2 and 3.5):

    psi_W(i, j) = cos(sum_b dL_b/dW_i, sum_b dL_b/dW_j)
    psi_C(i, j) = cos(sum_b dL_b/dC_i, sum_b dL_b/dC_j)

psi_W is taken on the box that both kernels cover, psi_C over the banks that
both use. Both are sums over SuperWeights of inner products, which is all that
is kept of the gradients: one small Gram matrix per SuperWeight and box.

Kernels are compared by the SuperWeights that they mix. A flat SuperWeight,
which has no place on the plane of inputs and outputs, is compared whole: its
box is `None`. Kernels that use one as it is have one gradient between them,
which says nothing about whether they agree.

A gradient of zero (of a layer that is not used, say) agrees with nothing and
conflicts with nothing: its similarity to others is 0, to itself 1.
"""

import numpy as np


def common_boxes(allocation, piece):
    """The boxes common to two kernels that one SuperWeight serves.

    Returns:
        Sorted `(inputs, outputs)`, without those that the region of the
        SuperWeight does not meet; of a flat one `[None]`.
    """
    if not piece.region:
        return [None]
    boxes = sorted({allocation.kernels[k].box for k in piece.kernels})
    common = {(min(a, c), min(b, d)) for a, b in boxes for c, d in boxes}
    return [
        box
        for box in sorted(common)
        if any(rectangle.crop(box) for rectangle in piece.region)
    ]


def crop_rows(piece, rows, box):
    """The part inside a box of pieces given as rows `(n, size)`.

    Returns:
        An array `(n, scalars of the region inside the box)`.
    """
    if box is None:
        return rows
    parts = []
    start = 0
    for rectangle in piece.region:
        height = rectangle.in_stop - rectangle.in_start
        width = rectangle.out_stop - rectangle.out_start
        stop = start + piece.size * rectangle.area // sum(
            r.area for r in piece.region
        )
        block = rows[:, start:stop].reshape(len(rows), -1, height, width)
        start = stop
        inside = rectangle.crop(box)
        if inside:
            block = block[
                :,
                :,
                : inside.in_stop - inside.in_start,
                : inside.out_stop - inside.out_start,
            ]
            parts.append(block.reshape(len(rows), -1))
    return np.concatenate(parts, axis=1)


def weight_similarity(allocation, cluster, grams):
    """psi_W of the kernels of a cluster.

    Args:
        allocation: The `Allocation` under which gradients were recorded.
        cluster: Indices of the kernels.
        grams: For each SuperWeight of the allocation, a dict from common box
            to the Gram matrix, `(kernels served, kernels served)`, of the
            gradients of its pieces inside that box.

    Returns:
        A symmetric array `(n, n)` in [-1, 1], its diagonal 1.
    """
    boxes = [allocation.kernels[k].box for k in cluster]

    def gram_of(s, one, other):
        piece = allocation.superweights[s]
        if piece.is_plain:
            return None
        if not piece.region:
            return grams[s].get(None)
        (a, b), (c, d) = boxes[one], boxes[other]
        return grams[s].get((min(a, c), min(b, d)))

    return _cosines(allocation, cluster, gram_of)


def coefficient_similarity(allocation, cluster, gradients):
    """psi_C of the kernels of a cluster.

    Args:
        allocation: The `Allocation` under which gradients were recorded.
        cluster: Indices of the kernels.
        gradients: For each SuperWeight of the allocation, the gradients with
            respect to each kernel's coefficients, `(kernels served,
            templates)`, as if none were tied.

    Returns:
        A symmetric array `(n, n)` in [-1, 1], its diagonal 1.
    """
    grams = [
        np.asarray(g, "float64") @ np.asarray(g, "float64").T for g in gradients
    ]

    def gram_of(s, one, other):
        return grams[s] if allocation.superweights[s].ties else None

    return _cosines(allocation, cluster, gram_of)


def unused_kernels(allocation, grams):
    """Indices of the shared kernels whose summed gradient is zero.

    Kernels that use one piece as it is are unused only together.
    """
    used = set()
    for piece, boxes in zip(allocation.superweights, grams, strict=True):
        for gram in boxes.values():
            # One for all kernels of a plain piece.
            squares = np.broadcast_to(np.diag(gram), len(piece.kernels))
            used |= {
                k for k, g in zip(piece.kernels, squares, strict=True) if g > 0
            }
    return tuple(
        index
        for index, pieces in enumerate(allocation.composition)
        if pieces and index not in used
    )


def _cosines(allocation, cluster, gram_of):
    """Cosines of sums over the SuperWeights that two kernels share."""
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
            norm = np.sqrt(products[1] * products[2])
            cosine = np.clip(products[0] / norm, -1, 1) if norm > 0 else 0.0
            similarity[one, other] = similarity[other, one] = cosine
    return similarity
