"""Which kernels a rule may share, by kind and name.

Kernels that are not chosen stay private to their layers and cost their size.
"""

import difflib
import fnmatch
from collections.abc import Sequence

from keras_superweights.allocation.specs import KINDS
from keras_superweights.allocation.specs import KernelSpec


def choose(
    kernels: Sequence[KernelSpec],
    kinds: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
) -> tuple[int, ...]:
    """Returns the indices of the kernels that may be shared.

    Raises:
        ValueError: If a pattern matches no kernel, or no kernel is left.

    Example:

    >>> stem = KernelSpec(0, "stem", (3, 3, 3, 8))
    >>> hidden = KernelSpec(0, "hidden", (8, 8))
    >>> choose([stem, hidden], kinds=["dense"]), choose([stem], exclude=[])
    ((1,), (0,))
    """
    left_out = set()
    for pattern in exclude:
        matching = {i for i, k in enumerate(kernels) if matches(k, pattern)}
        if not matching:
            _refuse_pattern(kernels, pattern)
        left_out |= matching
    indices = tuple(
        index
        for index, kernel in enumerate(kernels)
        if index not in left_out and (kinds is None or kernel.kind in kinds)
    )
    if not indices:
        raise ValueError(
            "`kinds` and `exclude` must leave something to share. Received: "
            f"kinds={kinds}, exclude={exclude}, which leave none of "
            f"{len(kernels)} kernels of the kinds "
            f"{sorted({kernel.kind for kernel in kernels})}."
        )
    return indices


def check_kinds(kinds):
    """Raises an error for unknown kinds."""
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise ValueError(
            f"`kinds` must be of {KINDS}. Received: kinds={kinds}, of which "
            f"{unknown} are unknown."
        )


def matches(kernel: KernelSpec, pattern: str) -> bool:
    """Whether a pattern matches a kernel; see `Rule`."""
    return fnmatch.fnmatchcase(kernel.layer, pattern) or fnmatch.fnmatchcase(
        f"{kernel.layer}/{kernel.weight}", pattern
    )


def _refuse_pattern(kernels, pattern):
    layers = dict.fromkeys(kernel.layer for kernel in kernels)
    similar = difflib.get_close_matches(pattern, layers, n=6, cutoff=0)
    raise ValueError(
        "Each pattern in `exclude` must match a layer, or a layer and its "
        "weight, 'layer/kernel'; otherwise what it was meant for would be "
        f"shared. Received: {pattern!r}, which matches none of {len(layers)} "
        f"layers that may be shared, such as {similar}. Heads (unless "
        "`heads=True`), batch norm and frozen layers never are, and need no "
        "pattern."
    )
