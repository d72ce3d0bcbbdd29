"""What clusters and kernels are called, the same in all figures."""

import collections


def clusters_as_formed(allocation):
    """The clusters in the order of their banks; the place is the number.

    A rule makes banks cluster by cluster, in the order that it forms these
    in; where a cluster has one bank, `store 2`, both have one number.
    `Allocation.clusters` are in the order of their first kernels.
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
    """The names of all kernels, no longer than tells them apart.

    A name is the path of the layer and the name of the weight, less the parts
    at which no two kernels part ways: a model that all layers lie in, the
    cell of a recurrent layer, the weight of a layer that has one. Before it
    is the number of the member, where there are several.
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
            # An only kernel is called by its layer.
            names.append(prefix + "/".join(telling or path[-2:-1]))
    return names


def counted(number, noun):
    """`"1 kernel"`, `"2 kernels"`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
