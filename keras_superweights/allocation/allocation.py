"""The result of allocating: pure data that says which kernel is made of what.

    bank         a trainable store of scalars
    SuperWeight  views its bank as templates, and mixes them into one piece of
                 each kernel that it serves
    kernel       the SuperWeights that serve it, each cropped to its box; or,
                 when no SuperWeight serves it, a variable of its own layer

Networks are built from an `Allocation` and from nothing else.
"""

import dataclasses
import functools
import json
from collections.abc import Iterable
from dataclasses import dataclass

from keras_superweights.allocation.regions import Rectangle
from keras_superweights.allocation.regions import tile
from keras_superweights.allocation.specs import KernelSpec
from keras_superweights.allocation.specs import MemberSpec
from keras_superweights.allocation.specs import UnsharedKernel
from keras_superweights.allocation.superweight import BankSpec
from keras_superweights.allocation.superweight import SuperWeight
from keras_superweights.allocation.table import format_allocation


@dataclass(frozen=True)
class Allocation:
    """Which kernel of which member is made of what.

    An allocation that does not fit together is refused when it is made: a
    kernel that its SuperWeights do not cover, a bank that is too small, a tie
    to a row that is not there.

    Attributes:
        members: The members that it was made for.
        banks: The trainable stores.
        superweights: The pieces mixed from them.
        budget_params: The most trainable scalars allowed.
        sharing: The rule that made it, as text.
        note: Why the budget is not used to its last scalar.

    Raises:
        ValueError: If the parts do not fit together, or cost more than the
            budget.
    """

    members: tuple[MemberSpec, ...]
    banks: tuple[BankSpec, ...]
    superweights: tuple[SuperWeight, ...]
    budget_params: int
    sharing: str = ""
    note: str = ""

    def __post_init__(self):
        if not isinstance(self.budget_params, int):
            raise ValueError(
                "`budget_params` of an allocation must be an integer. "
                f"Received: budget_params={self.budget_params!r}."
            )
        for index, member in enumerate(self.members):
            if any(kernel.member != index for kernel in member.kernels):
                raise ValueError(
                    f"The kernels of member {index} ('{member.name}') must "
                    "name it as their member. Received: "
                    f"{[kernel.member for kernel in member.kernels]}."
                )
        for index, piece in enumerate(self.superweights):
            if not 0 <= piece.bank < len(self.banks):
                raise ValueError(
                    f"In SuperWeight {index}, `bank` must be the index of a "
                    f"bank. Received: {piece}."
                )
            piece.check(index, self.kernels, self.banks[piece.bank])
        for index, bank in enumerate(self.banks):
            if not self.readers[index]:
                raise ValueError(
                    "Every bank must be read by a SuperWeight. Received: "
                    f"bank {index} ('{bank.name}') is read by none."
                )
        tiled = set()  # kernels of a cluster repeat themselves
        for index, kernel in enumerate(self.kernels):
            parts = tuple(s for s, _ in self.composition[index])
            if not parts or (kernel.box, parts) in tiled:
                continue
            regions = tuple(self.superweights[s].region for s in parts)
            flat = len(parts) == 1 and not regions[0]
            if not flat and not tile(kernel.box, regions):
                raise ValueError(
                    f"The SuperWeights of kernel {index} ('{kernel.layer}' of "
                    f"member {kernel.member}) must tile its box {kernel.box}. "
                    f"Received: {regions}."
                )
            tiled.add((kernel.box, parts))
        if self.num_params > self.budget_params:
            raise ValueError(
                f"The allocation needs {self.num_params} trainable scalars, "
                f"more than its budget of {self.budget_params}."
            )

    @functools.cached_property
    def kernels(self) -> tuple[KernelSpec, ...]:
        """All kernels, members one after the other."""
        return all_kernels(self.members)

    @functools.cached_property
    def composition(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """For each kernel, its `(SuperWeight, row)` pairs; none if private."""
        pieces = [[] for _ in self.kernels]
        for index, piece in enumerate(self.superweights):
            for row, kernel in enumerate(piece.kernels):
                pieces[kernel].append((index, row))
        return tuple(map(tuple, pieces))

    @functools.cached_property
    def readers(self) -> tuple[tuple[SuperWeight, ...], ...]:
        """For each bank, the SuperWeights that read it."""
        readers = [[] for _ in self.banks]
        for piece in self.superweights:
            readers[piece.bank].append(piece)
        return tuple(map(tuple, readers))

    @property
    def private_kernels(self) -> tuple[int, ...]:
        """Kernels that share nothing and stay variables of their layers."""
        return tuple(i for i, p in enumerate(self.composition) if not p)

    @property
    def num_coefficients(self) -> int:
        """Scalars that SuperWeights need besides banks: masks too."""
        return sum(p.beside_bank(self.kernels) for p in self.superweights)

    @functools.cached_property
    def num_params(self) -> int:
        """Trainable scalars of the network built from this, everything."""
        return (
            sum(bank.size for bank in self.banks)
            + self.num_coefficients
            + sum(self.kernels[k].size for k in self.private_kernels)
            + sum(member.other_params for member in self.members)
        )

    @property
    def independent_params(self) -> int:
        """Trainable scalars of the members when they share nothing."""
        return sum(member.num_params for member in self.members)

    @functools.cached_property
    def clusters(self) -> tuple[tuple[int, ...], ...]:
        """The kernels that share with one another, directly or by a third."""
        first = {}  # of each kernel's cluster, after following the links

        def find(kernel):
            while first.setdefault(kernel, kernel) != kernel:
                first[kernel] = first[first[kernel]]
                kernel = first[kernel]
            return kernel

        for readers in self.readers:
            roots = {find(k) for piece in readers for k in piece.kernels}
            first.update(dict.fromkeys(roots, min(roots)))
        clusters = {}
        for kernel in sorted(first):
            clusters.setdefault(find(kernel), []).append(kernel)
        return tuple(map(tuple, clusters.values()))

    def with_ties(self, ties: Iterable[tuple[int, ...]]) -> "Allocation":
        """The same allocation with other ties, one tuple a SuperWeight.

        Raises:
            ValueError: If there are not as many, or they do not fit.
        """
        ties = list(ties)
        if len(ties) != len(self.superweights):
            raise ValueError(
                f"`ties` must have one tuple for each of the "
                f"{len(self.superweights)} SuperWeights. Received: {len(ties)}."
            )
        superweights = tuple(
            dataclasses.replace(piece, ties=tuple(map(int, rows)))
            for piece, rows in zip(self.superweights, ties, strict=True)
        )
        if superweights == self.superweights:
            return self
        return dataclasses.replace(self, superweights=superweights)

    def to_json(self) -> str:
        """The allocation as JSON text, for `from_json`."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Allocation":
        """Reads what `to_json` wrote.

        Raises:
            ValueError: If the text is not an allocation, or one whose parts do
                not fit together.
        """
        try:
            data = json.loads(text)
            data["members"] = tuple(map(_member, data["members"]))
            data["banks"] = tuple(BankSpec(**bank) for bank in data["banks"])
            data["superweights"] = tuple(
                map(_superweight, data["superweights"])
            )
            return cls(**data)
        except (
            AttributeError,
            KeyError,
            TypeError,
            json.JSONDecodeError,
        ) as error:
            raise ValueError(
                "This is not an allocation as `Allocation.to_json` writes it: "
                f"{type(error).__name__}: {error}. It starts with: "
                f"{str(text)[:60]!r}."
            ) from error

    def __str__(self):
        return format_allocation(self)


def all_kernels(members: Iterable[MemberSpec]) -> tuple[KernelSpec, ...]:
    """The kernels of all members, one member after the other."""
    return tuple(kernel for member in members for kernel in member.kernels)


def _tuples(value):
    """Lists as tuples, all the way down: JSON has no tuples."""
    if isinstance(value, list):
        return tuple(map(_tuples, value))
    return value


def _member(data) -> MemberSpec:
    def read(kind, kernels):
        return tuple(
            kind(**{**kernel, "shape": _tuples(kernel["shape"])})
            for kernel in kernels
        )

    kernels = {
        "kernels": read(KernelSpec, data["kernels"]),
        "unshared": read(UnsharedKernel, data.get("unshared", ())),
    }
    return MemberSpec(**{**data, **kernels})


def _superweight(data) -> SuperWeight:
    data = {name: _tuples(value) for name, value in data.items()}
    data["region"] = tuple(Rectangle(*r) for r in data["region"])
    return SuperWeight(**data)
