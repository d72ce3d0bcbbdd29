"""Which kernels may share: the ways to form clusters before any training.

A cluster holds indices into the list of all kernels, one member after the
other. All functions that form clusters put each kernel into exactly one,
named by what its kernels have in common.
"""

import collections
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass

from keras_superweights.allocation.specs import KernelSpec
from keras_superweights.arguments import check_integer


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
    """Clusters layers at a similar depth (SWN, section 1.1).

    The layers of each member, separately by kind and window, fall in order
    into `num_bins` bins of equal count. A cluster holds one bin of one kind
    and window, over all members. With fewer layers than bins, some bins are
    empty and omitted.

    Raises:
        ValueError: If `num_bins` is not a positive integer.
    """
    check_integer("depth_bins", num_bins)
    count = collections.Counter(map(_alike, kernels))
    places = zip(_positions(kernels, _alike), kernels, strict=True)
    return _group(
        ("bin", place * num_bins // count[_alike(k)], k.window, k.kind)
        for place, k in places
    )


def positions(kernels: Sequence[KernelSpec]) -> list[Cluster]:
    """Clusters the same layer of every member.

    The i-th layers of a kind and window; deeper members keep clusters of
    their own at the end.
    """
    places = zip(_positions(kernels, _alike), kernels, strict=True)
    return _group(("layer", place, k.window, k.kind) for place, k in places)


def shapes(kernels: Sequence[KernelSpec]) -> list[Cluster]:
    """Clusters equal kinds and shapes, over layers and members (ME, 3.1)."""
    return _group(("", "", k.shape, k.kind) for k in kernels)


def shapes_in_members(kernels: Sequence[KernelSpec]) -> list[Cluster]:
    """Clusters equal kinds and shapes, over the layers of one member."""
    return _group(("member", *_equal(k)) for k in kernels)


def same_layers(kernels: Sequence[KernelSpec]) -> list[Cluster]:
    """Clusters the i-th layers of a kind and shape, of every member."""
    places = zip(_positions(kernels, _equal), kernels, strict=True)
    return _group(("layer", place, k.shape, k.kind) for place, k in places)


def reindexed(
    clusters: Sequence[Cluster], indices: Sequence[int]
) -> list[Cluster]:
    """Returns clusters of some kernels by their indices among all."""
    return [
        Cluster(c.name, tuple(indices[k] for k in c.kernels)) for c in clusters
    ]


def _group(keys) -> list[Cluster]:
    """Clusters kernels by equal keys `(noun, number, sides, kind)`."""
    groups = {}
    for index, key in enumerate(keys):
        groups.setdefault(key, []).append(index)
    return [Cluster(_name(*key), tuple(groups[key])) for key in sorted(groups)]


def _name(noun, number, sides, kind) -> str:
    """Names a cluster; convolutions, the most common kind, are not named."""
    parts = [f"{noun}{number}", "x".join(map(str, sides))]
    return " ".join(filter(None, [*parts, kind if kind != "conv" else ""]))


def _positions(kernels, key: Callable) -> list[int]:
    """Returns the position of each kernel among those with the same key."""
    seen = collections.Counter()
    places = []
    for kernel in kernels:
        places.append(seen[key(kernel)])
        seen[key(kernel)] += 1
    return places


def _alike(kernel):
    """The key of layers of one member that are counted together."""
    return kernel.member, kernel.kind, kernel.window


def _equal(kernel):
    """The key of layers of one member that may be one kernel."""
    return kernel.member, kernel.shape, kernel.kind
