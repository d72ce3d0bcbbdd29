"""An allocation: pure data that says what each kernel is made of.

    bank         a trainable store of scalars
    SuperWeight  reads its bank as templates, and mixes them into one vector
                 for each kernel that it serves
    transform    changes an assembled kernel, or the vector it is made from
    kernel       its SuperWeights, assembled and transformed; without any, a
                 variable of its own layer

Networks are built from an `Allocation` and nothing else.
"""

import contextlib
import dataclasses
import functools
import gc
import json
import operator
from collections.abc import Iterable
from dataclasses import dataclass

from keras_superweights.allocation.part import Transform
from keras_superweights.allocation.part import as_tuples
from keras_superweights.allocation.specs import KernelSpec
from keras_superweights.allocation.specs import MemberSpec
from keras_superweights.allocation.specs import UnsharedKernel
from keras_superweights.allocation.superweight import BankSpec
from keras_superweights.allocation.superweight import SuperWeight
from keras_superweights.allocation.table import format_allocation
from keras_superweights.arguments import check_fields
from keras_superweights.arguments import check_integer
from keras_superweights.arguments import check_type
from keras_superweights.arguments import quoted

# Of the JSON text. A version that changes it reads all lower numbers.
FORMAT = 1


@dataclass(frozen=True)
class Allocation:
    """Says what each kernel of each member is made of.

    Attributes:
        members: The members that it was made for.
        banks: The trainable stores.
        superweights: The SuperWeights mixed from them.
        budget_params: The most trainable scalars allowed.
        transforms: Transforms of kernels, in the order of their application.
        sharing: The rule that made it, as text.
        note: Why part of the budget is left unused.

    Raises:
        ValueError: If the parts do not fit together (a kernel that its
            SuperWeights do not cover, a bank that is too small, a tie to a
            missing row), or cost more than the budget.
    """

    members: tuple[MemberSpec, ...]
    banks: tuple[BankSpec, ...]
    superweights: tuple[SuperWeight, ...]
    budget_params: int
    transforms: tuple[Transform, ...] = ()
    sharing: str = ""
    note: str = ""

    def __post_init__(self):
        check_fields(self)
        check_integer("budget_params", self.budget_params)
        for index, member in enumerate(self.members):
            if any(kernel.member != index for kernel in member.kernels):
                raise ValueError(
                    f"The kernels of member {index} ('{member.name}') must "
                    "name it as their member. Received: "
                    f"{quoted([kernel.member for kernel in member.kernels])}."
                )
        for index, superweight in enumerate(self.superweights):
            if not 0 <= superweight.bank < len(self.banks):
                raise ValueError(
                    f"In SuperWeight {index}, `bank` must be the index of a "
                    f"bank. Received: {quoted(superweight)}."
                )
            bank = self.banks[superweight.bank]
            superweight.check(index, self.kernels, bank)
        for transform in self.transforms:
            self._check_transform(transform)
        for index, bank in enumerate(self.banks):
            read = sum(reader.num_read for reader in self.readers[index])
            if bank.size > 2 * read:  # gaps are left where rows differ
                raise ValueError(
                    "A bank must have at most twice the scalars that kernels "
                    f"read of it. Received: bank {index} ('{bank.name}') of "
                    f"{bank.size} scalars, of which they read {read}."
                )
        self._check_coverage()
        if self.num_params > self.budget_params:
            raise ValueError(
                f"The allocation needs {self.num_params} trainable scalars, "
                f"more than its budget of {self.budget_params}."
            )

    def _check_transform(self, transform):
        if not transform.kernels or any(
            not 0 <= kernel < len(self.kernels) or not self.composition[kernel]
            for kernel in transform.kernels
        ):
            raise ValueError(
                "`kernels` of a transform must be indices of kernels that "
                "SuperWeights serve. Received: "
                f"kernels={quoted(transform.kernels)} of {quoted(transform)}."
            )
        transform.check([self.kernels[k] for k in transform.kernels])

    def _check_coverage(self):
        """Refuses kernels that their SuperWeights do not make up."""
        covered = set()  # kernels of a cluster repeat each other
        for index, kernel in enumerate(self.kernels):
            parts = tuple(s for s, _ in self.composition[index])
            # Only the first transform may take another size.
            takes, *others = (
                *(t.input_size(kernel) for t in self.transforms_of[index]),
                kernel.size,
            )
            geometries = tuple(self.superweights[s].geometry for s in parts)
            if not parts or (kernel.shape, geometries, takes) in covered:
                continue
            fit = geometries[0].covers(kernel, geometries, takes)
            if not fit or any(size != kernel.size for size in others):
                raise ValueError(
                    f"The SuperWeights of kernel {index} ('{kernel.layer}' of "
                    f"member {kernel.member}) must make up its shape "
                    f"{kernel.shape}, and tile its box {kernel.box}, or "
                    "have a transform that makes it of their size. Received: "
                    f"{quoted(geometries)}, transforms "
                    f"{quoted(self.transforms_of[index])}."
                )
            covered.add((kernel.shape, geometries, takes))

    @functools.cached_property
    def kernels(self) -> tuple[KernelSpec, ...]:
        """All kernels, one member after the other."""
        return all_kernels(self.members)

    @functools.cached_property
    def composition(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """The `(SuperWeight, row)` pairs of each kernel; none if private."""
        composition = [[] for _ in self.kernels]
        for index, superweight in enumerate(self.superweights):
            for row, kernel in enumerate(superweight.kernels):
                composition[kernel].append((index, row))
        return tuple(map(tuple, composition))

    @functools.cached_property
    def transforms_of(self) -> tuple[tuple[Transform, ...], ...]:
        """The transforms of each kernel, in order."""
        chains = {}
        for transform in self.transforms:
            for kernel in transform.kernels:
                chains.setdefault(kernel, []).append(transform)
        return tuple(
            tuple(chains.get(kernel, ())) for kernel in range(len(self.kernels))
        )

    @functools.cached_property
    def readers(self) -> tuple[tuple[SuperWeight, ...], ...]:
        """The SuperWeights that read each bank."""
        readers = [[] for _ in self.banks]
        for superweight in self.superweights:
            readers[superweight.bank].append(superweight)
        return tuple(map(tuple, readers))

    @property
    def private_kernels(self) -> tuple[int, ...]:
        """Kernels that share nothing and stay variables of their layers."""
        return tuple(i for i, p in enumerate(self.composition) if not p)

    @property
    def num_coefficients(self) -> int:
        """Scalars of the mixings: coefficients, embeddings and projections."""
        return sum(s.num_coefficients for s in self.superweights)

    @property
    def num_transform_scalars(self) -> int:
        """Scalars of the transforms, such as masks."""
        return sum(map(self.scalars_of, self.transforms))

    def scalars_of(self, transform: Transform) -> int:
        """Scalars of one transform, for all its kernels."""
        kernels = (self.kernels[index] for index in transform.kernels)
        return sum(map(transform.num_scalars, kernels))

    @functools.cached_property
    def num_params(self) -> int:
        """All trainable scalars of the network built from this."""
        return (
            sum(bank.size for bank in self.banks)
            + self.num_coefficients
            + self.num_transform_scalars
            + sum(self.kernels[k].size for k in self.private_kernels)
            + sum(member.other_params for member in self.members)
        )

    @property
    def independent_params(self) -> int:
        """Trainable scalars of the members without any sharing."""
        return sum(member.num_params for member in self.members)

    @functools.cached_property
    def clusters(self) -> tuple[tuple[int, ...], ...]:
        """Groups of kernels that share, directly or through others."""
        return merged(
            {kernel for reader in readers for kernel in reader.kernels}
            for readers in self.readers
        )

    def with_ties(self, ties: Iterable[tuple[int, ...]]) -> "Allocation":
        """Returns the allocation with other ties, one tuple per SuperWeight.

        Raises:
            TypeError: If they are not tuples of integers.
            ValueError: If their number is wrong, or they do not fit.
        """
        ties = list(ties) if isinstance(ties, Iterable) else ties
        is_list = isinstance(ties, list) and all(
            isinstance(rows, (list, tuple)) for rows in ties
        )
        check_type("ties", ties, is_list, "a list of tuples")
        if len(ties) != len(self.superweights):
            raise ValueError(
                f"`ties` must have one tuple for each of the "
                f"{len(self.superweights)} SuperWeights. Received: {len(ties)}."
            )
        superweights = tuple(
            superweight.with_ties(rows)
            for superweight, rows in zip(self.superweights, ties, strict=True)
        )
        if superweights == self.superweights:
            return self
        return dataclasses.replace(self, superweights=superweights)

    def to_json(self) -> str:
        """Returns the allocation as JSON text, for `from_json`."""
        return json.dumps(
            {
                "format": FORMAT,
                "members": list(map(dataclasses.asdict, self.members)),
                "banks": list(map(dataclasses.asdict, self.banks)),
                "superweights": [each.to_data() for each in self.superweights],
                "transforms": [each.to_data() for each in self.transforms],
                "budget_params": self.budget_params,
                "sharing": self.sharing,
                "note": self.note,
            },
            default=operator.index,  # NumPy's integers
        )

    @classmethod
    def from_json(cls, text: str) -> "Allocation":
        """Reads what `to_json` of this version or an older one wrote.

        Raises:
            TypeError: If it is no text.
            ValueError: If the text is not an allocation, has a format that
                this version does not read, or does not fit together.
        """
        check_type("text", text, isinstance(text, str), "text")
        with _without_collector():
            return cls._from_json(text)

    @classmethod
    def _from_json(cls, text):
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _not_an_allocation(text, error) from error
        try:
            check_format(data.pop("format", 0), FORMAT, "allocation")
            readers = {
                "members": _member,
                "banks": lambda bank: BankSpec(**bank),
                "superweights": SuperWeight.from_data,
                "transforms": Transform.from_data,
            }
            for name, read in readers.items():
                data[name] = _each(read, data[name])
            return cls(**data)
        except (AttributeError, KeyError, TypeError, RecursionError) as error:
            raise _not_an_allocation(text, error) from error

    def __str__(self):
        return format_allocation(self)


def all_kernels(members: Iterable[MemberSpec]) -> tuple[KernelSpec, ...]:
    """Returns the kernels of all members, one member after the other."""
    return tuple(kernel for member in members for kernel in member.kernels)


def merged(sets: Iterable[set[int]]) -> tuple[tuple[int, ...], ...]:
    """Merges sets that have elements in common, and sorts them.

    Example:

    >>> merged([{5, 6}, {2}, {7, 5}, {2, 4}])
    ((2, 4), (5, 6, 7))
    """
    apart = []
    for each in sets:
        meeting = [other for other in apart if not other.isdisjoint(each)]
        apart = [other for other in apart if other.isdisjoint(each)]
        apart.append(each.union(*meeting))
    return tuple(sorted(tuple(sorted(each)) for each in apart))


def check_format(found, newest: int, subject: str):
    """Checks that this version reads a format, up to the one that it writes.

    The number is 0 where none was written, as before version 0.2.0. The
    message says which version reads the subject.
    """
    is_number = type(found) is int  # JSON's `true` is a bool
    if is_number and found == 0:
        raise ValueError(
            f"This {subject} has no format number: version 0.1.0 of "
            "keras_superweights, or an older one, wrote it. Use that version "
            "to read it."
        )
    if not is_number or not 1 <= found <= newest:
        raise ValueError(
            f"The format of this {subject} must be a number from 1 to "
            f"{newest}, the newest that this version of keras_superweights "
            f"reads. Received: format {found!r}. Use a newer version."
        )


@contextlib.contextmanager
def _without_collector():
    """Pauses Python's search for garbage, of which reading makes none.

    It looks at all that was read again and again: half of the time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _member(data) -> MemberSpec:
    kinds = {"kernels": KernelSpec, "unshared": UnsharedKernel}
    kernels = {
        name: _each(
            lambda kernel, kind=kind: kind(
                **kernel | {"shape": as_tuples(kernel["shape"])}
            ),
            data[name],
        )
        for name, kind in kinds.items()
    }
    return MemberSpec(**data | kernels)


def _each(read, values):
    """Reads each of a list; anything else is left for checks to refuse."""
    return tuple(map(read, values)) if type(values) is list else values


def _not_an_allocation(text, error) -> ValueError:
    return ValueError(
        "This is not an allocation as `Allocation.to_json` writes it: "
        f"{type(error).__name__}: {error}. It starts with: "
        f"{text[:60]!r}."
    )
