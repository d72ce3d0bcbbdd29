"""Vectors as the allocation sees them: biases, scales and offsets."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from keras_superweights.arguments import check_choice
from keras_superweights.arguments import check_fields

VECTOR_KINDS = ("bias", "normalization")


@dataclass(frozen=True)
class VectorSpec:
    """A bias, or the scale or offset of a normalization, of one member.

    Attributes:
        member, layer: As in `KernelSpec`.
        shape: Shape of the weight.
        weight: Name of the weight in its layer: `"bias"`, `"gamma"`, ...
        kind: One of `VECTOR_KINDS`.
    """

    member: int
    layer: str
    shape: tuple[int, ...]
    weight: str
    kind: str

    def __post_init__(self):
        check_fields(self)
        check_choice("kind", self.kind, VECTOR_KINDS)

    @property
    def size(self) -> int:
        """Scalars in the vector."""
        return math.prod(self.shape)


def check_common(common, vectors: Sequence[VectorSpec]):
    """Refuses groups of indices of vectors that cannot be one variable."""
    seen = set()
    for group in common:
        known = [i for i in group if type(i) is int and 0 <= i < len(vectors)]
        alike = {(vectors[i].kind, vectors[i].shape) for i in known}
        fresh = set(known) - seen
        if len(fresh) < max(len(group), 2) or len(alike) > 1:
            raise ValueError(
                "`common` must be of groups of two or more of the "
                f"{len(vectors)} vectors, of one kind and shape, and none "
                f"twice. Received: {group[:6]}."
            )
        seen |= fresh
