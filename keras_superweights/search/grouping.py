"""Algorithm 1 of the SWN paper: from similarities to groups (NumPy only).

The algorithm pops pairs by descending similarity. Above the threshold it joins
the two, merging their groups if both have one; below it, a kernel without a
group gets its own. Whatever the order of equal values, the result is the
connected components of the graph whose edges are the pairs above the
threshold (SWN, section 2 and Algorithm 1).
"""

import numpy as np

from keras_superweights.allocation.allocation import merged
from keras_superweights.arguments import check_number


def group_above(similarity, threshold):
    """Returns the groups that pairs above a threshold connect.

    `similarity` is a symmetric array `(n, n)` of values in [-1, 1]. At a
    threshold of -1 all form one group, at 1 each is alone; outside [-1, 1] it
    is refused. Groups are tuples of ascending indices, ordered by their first.

    Example:

    >>> group_above([[1, 0.5, 0], [0.5, 1, -1], [0, -1, 1]], 0.1)
    [(0, 1), (2,)]
    """
    check_number("threshold", threshold, least=-1, most=1)
    similarity = np.asarray(similarity)
    if threshold == -1:
        return [tuple(range(len(similarity)))]
    return list(
        merged(
            {kernel, *np.flatnonzero(row > threshold).tolist()}
            for kernel, row in enumerate(similarity)
        )
    )
