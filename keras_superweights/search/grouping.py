"""Algorithm 1 of the SWN paper: from similarities to groups (NumPy only).

The algorithm pops pairs by descending similarity. Above the threshold it joins
the two, merging their groups if both have one; below it, a kernel without a
group gets its own. Whatever the order of equal values, the result is the
connected components of the graph whose edges are the pairs above the
threshold, computed here by union-find (SWN, section 2 and Algorithm 1).
"""

import numpy as np


def group_above(similarity, threshold):
    """Returns the groups that pairs above a threshold connect.

    `similarity` is a symmetric array `(n, n)` of values in [-1, 1]. At a
    threshold of -1 all form one group, at 1 each is alone; outside [-1, 1] it
    is refused. Groups are tuples of ascending indices, ordered by their first.

    Example:

    >>> group_above([[1, 0.5, 0], [0.5, 1, -1], [0, -1, 1]], 0.1)
    [(0, 1), (2,)]
    """
    check_threshold("threshold", threshold)
    similarity = np.asarray(similarity)
    if threshold == -1:
        return [tuple(range(len(similarity)))]
    above = np.triu(similarity > threshold, k=1)
    return _components(len(similarity), np.argwhere(above))


def group_into(similarity, num_groups):
    """Joins the most similar pairs until a number of groups is reached.

    The authors leave this alternative to a threshold for future work (SWN,
    section 2): the same queue, stopped by the number of groups, from 1 to `n`.
    Takes and returns the same as `group_above` otherwise.
    """
    similarity = np.asarray(similarity)
    count = len(similarity)
    if not 1 <= num_groups <= count:
        raise ValueError(
            f"`num_groups` must be from 1 to {count}, the number of kernels. "
            f"Received: num_groups={num_groups}."
        )
    rows, columns = np.triu_indices(count, k=1)
    order = np.argsort(-similarity[rows, columns], kind="stable")
    pairs = np.stack([rows, columns], axis=1)[order]
    return _components(count, pairs, stop_at=num_groups)


def _components(count, pairs, stop_at=1):
    """Union-find over the pairs, in their order, down to `stop_at` groups."""
    parent = list(range(count))

    def find(node):
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    left = count
    for one, other in pairs:
        if left <= stop_at:
            break
        first, second = sorted((find(one), find(other)))
        if first != second:
            parent[second] = first
            left -= 1
    groups = {}
    for node in range(count):
        groups.setdefault(find(node), []).append(node)
    return [tuple(groups[root]) for root in sorted(groups)]


def check_threshold(name, value):
    """Raises an error unless the value is a number in [-1, 1]."""
    if not -1 <= value <= 1:
        raise ValueError(
            f"`{name}` is compared with cosine similarities and must be from "
            f"-1 to 1. Received: {name}={value}."
        )
