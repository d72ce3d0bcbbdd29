"""An allocation: pure data that says what each kernel is made of.

    bank         a trainable store of scalars
    SuperWeight  reads its bank as templates, and mixes them into one vector
                 for each kernel that it serves
    transform    changes an assembled kernel, or the vector it is made from
    kernel       its SuperWeights, assembled and transformed; without any, a
                 variable of its own layer

Networks are built from an `Allocation` and nothing else.
"""

import dataclasses
import functools
from collections.abc import Iterable
from dataclasses import dataclass

from keras_superweights.allocation.part import Transform
from keras_superweights.allocation.specs import KernelSpec
from keras_superweights.allocation.specs import MemberSpec
from keras_superweights.allocation.superweight import BankSpec
from keras_superweights.allocation.superweight import SuperWeight
from keras_superweights.allocation.table import format_allocation
from keras_superweights.allocation.text import read
from keras_superweights.allocation.text import text_of
from keras_superweights.allocation.vectors import VectorSpec
from keras_superweights.allocation.vectors import check_common
from keras_superweights.arguments import check_fields
from keras_superweights.arguments import check_integer
from keras_superweights.arguments import check_type
from keras_superweights.arguments import quoted


@dataclass(frozen=True)
class Allocation:
    """Says what each kernel of each member is made of.

    Attributes:
        members: The members that it was made for.
        banks: The trainable stores.
        superweights: The SuperWeights mixed from them.
        budget_params: The most trainable scalars allowed.
        transforms: Transforms of kernels, in the order of their application.
        common: Groups of vectors that are one variable, by their indices
            among all vectors, one member after the other.
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
    common: tuple[tuple[int, ...], ...] = ()

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
        check_common(self.common, self.vectors)
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
    def vectors(self) -> tuple[VectorSpec, ...]:
        """The vectors of all members, if any of them are common."""
        return all_vectors(self.members)

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

    @property
    def num_common(self) -> int:
        """Scalars of the variables that are common vectors."""
        return sum(self.vectors[group[0]].size for group in self.common)

    def rest_of(self, member: int) -> int:
        """Scalars that a member has alone, without kernels."""
        named = [self.vectors[i] for group in self.common for i in group]
        own = self.members[member].other_params
        return own - sum(v.size for v in named if v.member == member)

    @functools.cached_property
    def num_params(self) -> int:
        """All trainable scalars of the network built from this."""
        return (
            sum(bank.size for bank in self.banks)
            + self.num_coefficients
            + self.num_transform_scalars
            + sum(self.kernels[k].size for k in self.private_kernels)
            + self.num_common
            + sum(map(self.rest_of, range(len(self.members))))
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
        return text_of(self)

    @classmethod
    def from_json(cls, text: str) -> "Allocation":
        """Reads what `to_json` of this version or an older one wrote.

        Raises:
            TypeError: If it is no text.
            ValueError: If the text is not an allocation, has a format that
                this version does not read, or does not fit together.
        """
        return read(text, cls)

    def __str__(self):
        return format_allocation(self)


def all_kernels(members: Iterable[MemberSpec]) -> tuple[KernelSpec, ...]:
    """Returns the kernels of all members, one member after the other."""
    return tuple(kernel for member in members for kernel in member.kernels)


def all_vectors(members: Iterable[MemberSpec]) -> tuple[VectorSpec, ...]:
    """Returns the vectors of all members, one member after the other."""
    return tuple(vector for member in members for vector in member.vectors)


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
