"""Names of clusters and kernels, and units, the same in all figures."""

import collections

FLOPS = ((10**9, "GFLOPs"), (10**6, "MFLOPs"), (1, "FLOPs"))


def clusters_as_formed(allocation):
    """Returns the clusters in the order of their banks, which numbers them.

    Rules make banks cluster by cluster. With one bank per cluster, `store 2`
    therefore belongs to cluster 2. `Allocation.clusters` are in the order of
    their first kernels instead.
    """
    cluster_of = {
        k: cluster for cluster in allocation.clusters for k in cluster
    }
    return tuple(
        dict.fromkeys(
            cluster_of[users[0].kernels[0]] for users in allocation.readers
        )
    )


def kernel_names(allocation):
    """Returns the shortest telling names of all kernels.

    A name is the path of the layer and the name of the weight without the
    parts at which no two kernels differ: an enclosing model, the cell of a
    recurrent layer, the only weight of a layer. In an ensemble, the member's
    number comes first.
    """
    names = []
    for index, member in enumerate(allocation.members):
        prefix = f"{index}: " if len(allocation.members) > 1 else ""
        paths = [
            (*kernel.layer.split("/"), kernel.weight)
            for kernel in member.kernels
        ]
        ways_on = collections.defaultdict(set)
        for path in paths:
            for depth, part in enumerate(path):
                ways_on[path[:depth]].add(part)
        for path in paths:
            telling = [
                part
                for depth, part in enumerate(path)
                if len(ways_on[path[:depth]]) > 1
            ]
            # A member's only kernel is named after its layer.
            names.append(prefix + "/".join(telling or path[-2:-1]))
    return names


def counted(number, noun):
    """Returns `"1 kernel"`, `"2 kernels"`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def readable_unit(values, units):
    """Returns the largest `(divisor, name)` not above the largest value."""
    largest = max(values)
    return next((u for u in units if largest >= u[0]), units[-1])
