"""Which kernels may share: the ways to form clusters before any training.

A cluster holds indices into the list of all kernels, one member after the
other. All functions that form clusters put each kernel into exactly one,
named by what its kernels have in common.
"""

import collections
import itertools
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
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
    """
    check_integer("depth_bins", num_bins)
    count = collections.Counter(map(_alike, kernels))
    return _group(
        ("bin", turn * num_bins // count[_alike(k)], k.window, k.kind)
        for turn, k in _turns(kernels, _alike)
    )


def positions(kernels: Sequence[KernelSpec]) -> list[Cluster]:
    """Clusters the same layer of every member.

    The i-th layers of a kind and window; deeper members keep clusters of
    their own at the end.
    """
    places = _turns(kernels, _alike)
    return _group(("layer", turn, k.window, k.kind) for turn, k in places)


def shapes(kernels: Sequence[KernelSpec]) -> list[Cluster]:
    """Clusters equal kinds and shapes, over layers and members (ME, 3.1)."""
    return _group(("", "", k.shape, k.kind) for k in kernels)


def shapes_in_members(kernels: Sequence[KernelSpec]) -> list[Cluster]:
    """Clusters equal kinds and shapes, over the layers of one member."""
    return _group(("member", *_equal(k)) for k in kernels)


def same_layers(kernels: Sequence[KernelSpec]) -> list[Cluster]:
    """Clusters the i-th layers of a kind and shape, of every member."""
    places = _turns(kernels, _equal)
    return _group(("layer", turn, k.shape, k.kind) for turn, k in places)


def reindexed(
    clusters: Sequence[Cluster], indices: Sequence[int] | Mapping[int, int]
) -> list[Cluster]:
    """Returns the clusters with other indices, by those that they have."""
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


def turns(keys: Iterable) -> list[int]:
    """Returns the position of each key among its equals."""
    counts = collections.defaultdict(itertools.count)
    return [next(counts[key]) for key in keys]


def _turns(kernels, key: Callable):
    """Pairs each kernel with its position among those with the same key."""
    return zip(turns(map(key, kernels)), kernels, strict=True)


def _alike(kernel):
    """The key of layers of one member that are counted together."""
    return kernel.member, kernel.kind, kernel.window


def _equal(kernel):
    """The key of layers of one member that may be one kernel."""
    return kernel.member, kernel.shape, kernel.kind
