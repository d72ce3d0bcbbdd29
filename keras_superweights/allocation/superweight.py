"""A SuperWeight and its bank: what is stored, and what is mixed from it."""

import math
from dataclasses import dataclass

from keras_superweights.allocation.regions import Rectangle

# NPAS, section 3.2: the size of a layer's embedding.
EMBEDDING_SIZE = 24

# NPAS, section 3.3: scalars in a mask, those of a 3x3 window.
MASK_WINDOW = 9

MIXINGS = ("wavg", "emb", "avg")
UPSAMPLINGS = ("mask", "repeat", "bilinear")


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
        if not isinstance(self.size, int) or self.size < 1:
            raise ValueError(
                f"The size of bank '{self.name}' must be a positive integer. "
                f"Received: size={self.size!r}."
            )


@dataclass(frozen=True)
class SuperWeight:
    """One piece of every kernel that it serves, mixed from one bank.

    The bank is read as rows of the piece's size; what remains at its end is
    not read. A piece is either a `region` of its kernels' plane of inputs and
    outputs, or flat (`length`): the whole of each kernel, of any shape, as a
    vector.

    Attributes:
        bank: Index of its bank.
        window: Window of the kernels served; empty for a flat piece.
        region: Where the piece lies on their plane of inputs and outputs;
            empty for a flat piece.
        kernels: Indices of the kernels served.
        num_templates: Rows of the bank that are its templates.
        ties: For each kernel served, the row of coefficients that it uses, as
            a position in `kernels`; its own unless tied. Empty when there are
            no coefficients.
        first: The row of the bank that is the first template; after the last
            row comes row 0.
        choices: For each row, the templates that it mixes; empty for all.
        length: Scalars in a flat piece; 0 for one with a region.
        mixing: `"wavg"`: coefficients times templates; without `ties` the
            only template is the piece itself. `"emb"`: coefficients are a
            softmax of a projection of an embedding of each kernel. `"avg"`:
            the mean of the templates. NPAS, sections 3.2 and B.2.
        upsampling: How a flat piece becomes kernels of another size: `"mask"`
            or `"repeat"`, of a larger one; `"bilinear"`, of any other, the
            same shape for all; empty if they have its own. NPAS, section 3.3.
    """

    bank: int
    window: tuple[int, ...]
    region: tuple[Rectangle, ...]
    kernels: tuple[int, ...]
    num_templates: int
    ties: tuple[int, ...]
    first: int = 0
    choices: tuple[tuple[int, ...], ...] = ()
    length: int = 0
    mixing: str = "wavg"
    upsampling: str = ""

    @property
    def size(self) -> int:
        """Scalars in each template, and in the piece if not interpolated."""
        if self.length:
            return self.length
        return math.prod(self.window) * sum(r.area for r in self.region)

    def generated_size(self, kernels) -> int:
        """Scalars in the piece: of the kernels, where it is interpolated.

        Args:
            kernels: All kernels of the allocation.
        """
        if self.upsampling == "bilinear":
            return kernels[self.kernels[0]].size
        return self.size

    @property
    def is_plain(self) -> bool:
        """Whether the only template is the piece, for all of its kernels."""
        return not self.ties and self.mixing == "wavg"

    @property
    def num_rows(self) -> int:
        """How many pieces are generated: one a kernel, or one for all."""
        return 1 if self.is_plain else len(self.kernels)

    @property
    def num_mixed(self) -> int:
        """Templates that one kernel mixes; 0 if that needs no coefficients."""
        if not self.ties:
            return 0
        return len(self.choices[0]) if self.choices else self.num_templates

    @property
    def num_coefficients(self) -> int:
        """Scalars that mixing needs, for all rows, tied or not."""
        if self.mixing == "emb":
            projection = (EMBEDDING_SIZE + 1) * self.num_templates
            return len(self.kernels) * EMBEDDING_SIZE + projection
        return len(self.kernels) * self.num_mixed

    def beside_bank(self, kernels) -> int:
        """Scalars that it needs besides its bank: coefficients and masks.

        A template is used as it is first, and times a mask of its own whenever
        it is repeated (NPAS, section 3.3).

        Args:
            kernels: All kernels of the allocation.
        """
        masks = 0
        if self.upsampling == "mask":
            sizes = [kernels[kernel].size for kernel in self.kernels]
            masks = sum(-(-size // self.length) - 1 for size in sizes)
        return self.num_coefficients + masks * MASK_WINDOW

    def check(self, index: int, kernels, bank: BankSpec):
        """Raises an error if the attributes do not fit one another.

        Args:
            index: Its index, for the message.
            kernels: All kernels of the allocation.
            bank: Its bank.
        """
        for rule, holds in self._rules(kernels).items():
            if not holds:
                raise ValueError(
                    f"In SuperWeight {index}, {rule}. Received: {self}."
                )
        rows = bank.size // self.size
        if self.num_templates > rows or not 0 <= self.first < rows:
            raise ValueError(
                f"SuperWeight {index} must lie in its bank '{bank.name}' of "
                f"{bank.size} scalars. Received: {self.num_templates} "
                f"templates of {self.size} from row {self.first}."
            )
        for kernel in self.kernels if self.region else ():
            if kernels[kernel].window != self.window:
                raise ValueError(
                    f"SuperWeight {index} has window {self.window} but serves "
                    f"kernel {kernel} with shape {kernels[kernel].shape}."
                )

    def _rules(self, kernels):
        rows = len(self.kernels)
        known = all(0 <= k < len(kernels) for k in self.kernels)
        flat = self.length > 0 and not self.region and not self.window
        return {
            "`kernels` must be distinct indices of kernels": (
                0 < rows == len(set(self.kernels)) and known
            ),
            "`num_templates` must be a positive integer": (
                isinstance(self.num_templates, int) and self.num_templates > 0
            ),
            "`ties` must name, for each kernel, a row that uses itself": (
                len(self.ties) in (0, rows)
                and all(0 <= t < rows for t in self.ties)
                and all(self.ties[t] == t for t in self.ties)
            ),
            "only a SuperWeight of one template needs no coefficients": (
                bool(self.ties) or self.num_templates == 1
                if self.mixing == "wavg"
                else bool(self.ties) == (self.mixing == "emb")
            ),
            "`choices` must name as many templates for each kernel": (
                len(self.choices) in (0, rows)
                and len({len(set(c)) for c in self.choices}) <= 1
                and all(
                    len(c) > 0 and len(set(c)) == len(c) for c in self.choices
                )
                and all(
                    0 <= t < self.num_templates for c in self.choices for t in c
                )
            ),
            f"`mixing` must be one of {MIXINGS}, by choice only for 'wavg'": (
                self.mixing in MIXINGS
                and (self.mixing == "wavg" or not self.choices)
            ),
            "there must be either a `length` or a `region`": (
                flat or (self.length == 0 and bool(self.region))
            ),
            "a flat piece must have the size of its kernels, or upsampling": (
                not flat
                or self.upsampling in UPSAMPLINGS
                or all(kernels[k].size == self.length for k in self.kernels)
            ),
            "only a flat piece can have `upsampling`": (
                flat or not self.upsampling
            ),
            "only larger kernels are masks or repetitions of a piece": (
                self.upsampling not in ("mask", "repeat")
                or all(kernels[k].size > self.length for k in self.kernels)
            ),
            "interpolated kernels must have one shape": (
                self.upsampling != "bilinear"
                or len({kernels[k].shape for k in self.kernels}) == 1
            ),
        }
