"""What a rule shares: chosen by what a layer does, and by its name.

A kernel that is not chosen is left to its layer: no SuperWeight serves it, and
it costs its size.
"""

import dataclasses
import difflib
import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass

from keras_superweights.allocation.specs import KINDS
from keras_superweights.allocation.specs import KernelSpec
from keras_superweights.allocation.specs import MemberSpec
from keras_superweights.allocation.superweight import SuperWeight


@dataclass(frozen=True, kw_only=True)
class SelectiveRule:
    """A rule of sharing that is told which kernels it may share.

    As text, a rule names only what is not at its default.

    Args:
        kinds: Kinds of kernels to share, of `allocation.kernels.KINDS`; by
            default all. A single one may be given as a string.
        exclude: Patterns, as of `fnmatch`, of layers to leave out: each is
            compared, upper and lower case apart, with a kernel's layer and
            with "layer/weight". `"*_block0_*"`, `"lstm/recurrent_kernel"`. A
            single one may be given as a string.

    Raises:
        TypeError: If either is not of strings.
        ValueError: If a kind is unknown.
    """

    kinds: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()

    def __post_init__(self):
        if self.kinds is not None:
            object.__setattr__(self, "kinds", _names("kinds", self.kinds))
            _check_kinds(self.kinds)
        object.__setattr__(self, "exclude", _names("exclude", self.exclude))

    def chosen(self, members: Sequence[MemberSpec]) -> tuple[int, ...]:
        """Indices of the members' kernels that the rule may share.

        Raises:
            ValueError: As `chosen`.
        """
        kernels = [kernel for member in members for kernel in member.kernels]
        return chosen(kernels, self.kinds, self.exclude)

    def __str__(self):
        values = {f: getattr(self, f.name) for f in dataclasses.fields(self)}
        changed = [
            f"{field.name}={value!r}"
            for field, value in values.items()
            if value != field.default
        ]
        return f"{type(self).__name__}({', '.join(changed)})"


def chosen(
    kernels: Sequence[KernelSpec],
    kinds: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
) -> tuple[int, ...]:
    """Indices of the kernels that may be shared.

    Args:
        kernels: All kernels of all members.
        kinds: Kinds to share; `None` for all.
        exclude: Patterns of those to leave out; see `SelectiveRule`.

    Raises:
        ValueError: If a kind is unknown, a pattern matches no kernel, or no
            kernel is left.

    Example:

    >>> stem = KernelSpec(0, "stem", (3, 3, 3, 8))
    >>> hidden = KernelSpec(0, "hidden", (8, 8))
    >>> chosen([stem, hidden], kinds=["dense"]), chosen([stem], exclude=[])
    ((1,), (0,))
    """
    if kinds is not None:
        _check_kinds(kinds)
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


def others_params(members: Sequence[MemberSpec], indices: Sequence[int]) -> int:
    """Trainable scalars of members besides the kernels with these indices."""
    return sum(member.other_params for member in keep(members, indices))


def keep(
    members: Sequence[MemberSpec], indices: Sequence[int]
) -> tuple[MemberSpec, ...]:
    """The members as if only the kernels with these indices could be shared.

    A rule that knows nothing of a selection can allocate these; `restore` then
    says which kernels of the true members its SuperWeights serve.
    """
    indices = set(indices)
    kept = []
    start = 0
    for member in members:
        kernels = tuple(
            kernel
            for index, kernel in enumerate(member.kernels, start)
            if index in indices
        )
        others = member.num_params - sum(kernel.size for kernel in kernels)
        kept.append(MemberSpec(member.name, kernels, others))
        start += len(member.kernels)
    return tuple(kept)


def restore(
    superweights: Sequence[SuperWeight], indices: Sequence[int]
) -> tuple[SuperWeight, ...]:
    """SuperWeights for members of `keep`, as those of the true members."""
    return tuple(
        dataclasses.replace(
            piece, kernels=tuple(indices[k] for k in piece.kernels)
        )
        for piece in superweights
    )


def _names(argument, value) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, (list, tuple)) or not all(
        isinstance(name, str) for name in names
    ):
        raise TypeError(
            f"`{argument}` must be a string or a list of strings. Received: "
            f"{argument}={value!r}."
        )
    return tuple(names)


def _check_kinds(kinds):
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise ValueError(
            f"`kinds` must be of {KINDS}. Received: kinds={kinds}, of which "
            f"{unknown} are unknown."
        )


def matches(kernel: KernelSpec, pattern: str) -> bool:
    """Whether a pattern is meant for a kernel; see `SelectiveRule`."""
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
        f"layers that may be shared, such as {similar}. Heads, batch norm and "
        "frozen layers never are, and need no pattern."
    )
