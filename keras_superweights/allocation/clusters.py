"""Which kernels may share: the ways to form clusters before any training.

A cluster is a tuple of indices into the list of all kernels of all members,
members one after the other. Every function here returns clusters that hold
each kernel exactly once, named by what they have in common.
"""

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass

from keras_superweights.allocation.kernels import KernelSpec


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

    The layers of each member, in order and apart by window, fall into
    `num_bins` bins of equal count; the bins of one index and one window, over
    all members, are a cluster. A window with fewer layers than bins leaves
    some bins empty, and they are left out. One bin is one cluster per window.

    Raises:
        ValueError: If `num_bins` is not a positive integer.
    """
    if not isinstance(num_bins, int) or num_bins < 1:
        raise ValueError(
            "`depth_bins` must be a positive integer. Received: "
            f"depth_bins={num_bins!r}."
        )
    count = _count_by(kernels, lambda k: (k.member, k.window))
    position = _positions(kernels, lambda k: (k.member, k.window))

    def key(index):
        kernel = kernels[index]
        total = count[kernel.member, kernel.window]
        return position[index] * num_bins // total, kernel.window

    return _group(
        kernels, key, lambda key: f"bin{key[0]} {_window_name(key[1])}"
    )


def positions(kernels: Sequence[KernelSpec]) -> list[Cluster]:
    """Clusters of the same layer of every member.

    The i-th layer with a given window of each member; deeper members keep
    clusters of their own at the end.
    """
    position = _positions(kernels, lambda k: (k.member, k.window))
    return _group(
        kernels,
        lambda index: (position[index], kernels[index].window),
        lambda key: f"layer{key[0]} {_window_name(key[1])}",
    )


def shapes(kernels: Sequence[KernelSpec]) -> list[Cluster]:
    """Clusters of equal shape, over layers and members (ME, 3.1)."""
    return _group(
        kernels,
        lambda index: kernels[index].shape,
        lambda shape: "x".join(map(str, shape)),
    )


def all_in_one(kernels: Sequence[KernelSpec]) -> list[Cluster]:
    """One cluster of all kernels, whatever their shape (ME, 5.1)."""
    return [Cluster("all", tuple(range(len(kernels))))]


def _group(kernels, key: Callable, name: Callable) -> list[Cluster]:
    groups = {}
    for index in range(len(kernels)):
        groups.setdefault(key(index), []).append(index)
    return [Cluster(name(k), tuple(groups[k])) for k in sorted(groups)]


def _count_by(kernels, key: Callable) -> dict:
    counts = {}
    for kernel in kernels:
        counts[key(kernel)] = counts.get(key(kernel), 0) + 1
    return counts


def _positions(kernels, key: Callable) -> list[int]:
    """Position of each kernel among those with the same key."""
    seen = {}
    places = []
    for kernel in kernels:
        places.append(seen.get(key(kernel), 0))
        seen[key(kernel)] = places[-1] + 1
    return places


def _window_name(window: tuple[int, ...]) -> str:
    return "x".join(map(str, window)) if window else "dense"
