"""A SuperWeight and its bank: what is mixed, and what is stored."""

import dataclasses
from dataclasses import dataclass

from keras_superweights.allocation.part import Geometry
from keras_superweights.allocation.part import Mixing
from keras_superweights.allocation.part import as_tuples
from keras_superweights.arguments import check_fields
from keras_superweights.arguments import check_integer
from keras_superweights.arguments import quoted


@dataclass(frozen=True)
class BankSpec:
    """A trainable store.

    Attributes:
        name: Name, unique within the allocation.
        size: Scalars in the store.
    """

    name: str
    size: int

    def __post_init__(self):
        check_fields(self)
        check_integer(f"size of bank '{self.name}'", self.size)


@dataclass(frozen=True)
class SuperWeight:
    """A part of every kernel that it serves, mixed from one bank.

    The bank is read as rows of the SuperWeight's size; a remainder at its end
    is not read.

    Attributes:
        bank: Index of its bank.
        kernels: Indices of the kernels served.
        geometry: Where it lies in them.
        mixing: How its templates become one vector per kernel.
        num_templates: Rows of the bank that are its templates.
        first: Row of the first template; row 0 follows the last row.
    """

    bank: int
    kernels: tuple[int, ...]
    geometry: Geometry
    mixing: Mixing
    num_templates: int
    first: int = 0

    def __post_init__(self):
        check_fields(self)

    @property
    def size(self) -> int:
        """Scalars in each template, and in the SuperWeight."""
        return self.geometry.size

    @property
    def ties(self) -> tuple[int, ...]:
        """The row of coefficients that each kernel uses."""
        return self.mixing.ties

    @property
    def num_read(self) -> int:
        """Scalars of the bank that the kernels read, each for itself."""
        return len(self.kernels) * self.num_templates * self.size

    @property
    def num_coefficients(self) -> int:
        """Scalars of the mixing, for all kernels, tied or not."""
        return self.mixing.num_scalars(len(self.kernels), self.num_templates)

    @property
    def num_rows(self) -> int:
        """Number of vectors generated: one per kernel, or one for all."""
        return len(self.kernels) if self.mixing.mixes else 1

    def row_of(self, position: int) -> int:
        """Returns the row of the vector for the kernel at a position."""
        return position if self.mixing.mixes else 0

    def templates_of(self, position: int) -> tuple[int, ...]:
        """Returns the templates that the kernel at a position mixes."""
        row = self.ties[position] if self.ties else position
        return self.mixing.templates_of(row, self.num_templates)

    def with_ties(self, ties) -> "SuperWeight":
        """Returns the SuperWeight with other ties."""
        mixing = self.mixing.with_ties(tuple(ties))
        return dataclasses.replace(self, mixing=mixing)

    def check(self, index: int, kernels, bank: BankSpec):
        """Raises an error if it does not fit these kernels and its bank."""
        count = len(self.kernels)
        known = all(0 <= k < len(kernels) for k in self.kernels)
        if not known or not 0 < count == len(set(self.kernels)):
            raise ValueError(
                f"In SuperWeight {index}, `kernels` must be distinct indices "
                f"of kernels. Received: {quoted(self)}."
            )
        try:
            check_integer("num_templates", self.num_templates)
            self.geometry.check([kernels[k] for k in self.kernels])
            self.mixing.check(count, self.num_templates)
        except ValueError as error:
            raise ValueError(f"In SuperWeight {index}, {error}") from error
        rows = bank.size // self.size
        if self.num_templates > rows or not 0 <= self.first < rows:
            raise ValueError(
                f"SuperWeight {index} must lie in its bank '{bank.name}' of "
                f"{bank.size} scalars. Received: {self.num_templates} "
                f"templates of {self.size} from row {self.first}."
            )

    def to_data(self) -> dict:
        """Returns the SuperWeight as a dict, ready for JSON."""
        return vars(self) | {
            "geometry": self.geometry.to_data(),
            "mixing": self.mixing.to_data(),
        }

    @classmethod
    def from_data(cls, data: dict) -> "SuperWeight":
        """Reads what `to_data` returned, after JSON."""
        return cls(
            **data
            | {
                "kernels": as_tuples(data["kernels"]),
                "first": data["first"],  # lost, it would be 0
                "geometry": Geometry.from_data(data["geometry"]),
                "mixing": Mixing.from_data(data["mixing"]),
            }
        )
