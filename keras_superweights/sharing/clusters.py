"""Which kernels may share: the ways to form clusters before any training.

A cluster is a tuple of indices into the list of all kernels of all members,
members one after the other. Every function that forms clusters returns such
that hold each kernel exactly once, named by what they have in common.
"""

import collections
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass

from keras_superweights.allocation.specs import KernelSpec


@dataclass(frozen=True)
class Cluster:
    """Kernels that may share.

    Attributes:
        name: What they have in common, for tables and figures.
        kernels: Indices into the list of all kernels, ascending.
    """

    name: str
    kernels: tuple[int, ...]


def depth_bins(kernels: Sequence[KernelSpec], num_bins: int) -> list[Cluster]:
    """Clusters of layers at a similar depth (SWN, section 1.1).

    The layers of each member, in order and apart by kind and window, fall
    into `num_bins` bins of equal count; the bins of one index, kind and
    window, over all members, are a cluster. Where there are fewer layers than
    bins, some bins are empty and left out. One bin is one cluster per kind
    and window.

    Raises:
        ValueError: If `num_bins` is not a positive integer.
    """
    if not isinstance(num_bins, int) or num_bins < 1:
        raise ValueError(
            "`depth_bins` must be a positive integer. Received: "
            f"depth_bins={num_bins!r}."
        )
    count = collections.Counter(map(_alike, kernels))
    position = _positions(kernels, _alike)

    def key(index):
        kernel = kernels[index]
        depth = position[index] * num_bins // count[_alike(kernel)]
        return depth, kernel.window, kernel.kind

    return _group(kernels, key, lambda key: f"bin{key[0]} {_form(*key[1:])}")


def positions(kernels: Sequence[KernelSpec]) -> list[Cluster]:
    """Clusters of the same layer of every member.

    The i-th layer of each member with a given kind and window; deeper members
    keep clusters of their own at the end.
    """
    position = _positions(kernels, _alike)
    return _group(
        kernels,
        lambda index: (
            position[index],
            kernels[index].window,
            kernels[index].kind,
        ),
        lambda key: f"layer{key[0]} {_form(*key[1:])}",
    )


def shapes(kernels: Sequence[KernelSpec]) -> list[Cluster]:
    """Clusters of equal kind and shape, over layers and members (ME, 3.1)."""
    return _group(
        kernels,
        lambda index: (kernels[index].shape, kernels[index].kind),
        lambda key: _form(*key),
    )


def shapes_in_members(kernels: Sequence[KernelSpec]) -> list[Cluster]:
    """Clusters of equal kind and shape, over the layers of one member."""
    return _group(
        kernels,
        lambda index: _equal(kernels[index]),
        lambda key: f"member{key[0]} {_form(*key[1:])}",
    )


def same_layers(kernels: Sequence[KernelSpec]) -> list[Cluster]:
    """Clusters of the i-th layer of a kind and shape, of every member."""
    position = _positions(kernels, _equal)
    return _group(
        kernels,
        lambda index: (position[index], *_equal(kernels[index])[1:]),
        lambda key: f"layer{key[0]} {_form(*key[1:])}",
    )


def all_in_one(kernels: Sequence[KernelSpec]) -> list[Cluster]:
    """One cluster of all kernels, whatever their shape (ME, 5.1)."""
    return [Cluster("all", tuple(range(len(kernels))))]


def reindexed(
    clusters: Sequence[Cluster], indices: Sequence[int]
) -> list[Cluster]:
    """Clusters of some of the kernels, by their indices among all.

    Args:
        clusters: Formed of a part of the kernels.
        indices: Where, among all, each kernel of that part is.
    """
    return [
        Cluster(c.name, tuple(indices[k] for k in c.kernels)) for c in clusters
    ]


def _group(kernels, key: Callable, name: Callable) -> list[Cluster]:
    groups = {}
    for index in range(len(kernels)):
        groups.setdefault(key(index), []).append(index)
    return [Cluster(name(k), tuple(groups[k])) for k in sorted(groups)]


def _positions(kernels, key: Callable) -> list[int]:
    """Position of each kernel among those with the same key."""
    seen = {}
    places = []
    for kernel in kernels:
        places.append(seen.get(key(kernel), 0))
        seen[key(kernel)] = places[-1] + 1
    return places


def _alike(kernel):
    """What layers of one member have in common that are counted together."""
    return kernel.member, kernel.kind, kernel.window


def _equal(kernel):
    """What layers of one member have in common that may be one kernel."""
    return kernel.member, kernel.shape, kernel.kind


def _form(sides: tuple[int, ...], kind: str) -> str:
    """Sides and kind as text; that of most, convolutions, goes without."""
    parts = ["x".join(map(str, sides))] if sides else []
    return " ".join(parts + [kind] * (kind != "conv"))
