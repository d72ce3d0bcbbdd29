"""Kernels and members as the allocation sees them: names and shapes."""

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace

from keras_superweights.allocation.vectors import VectorSpec
from keras_superweights.arguments import as_tuple
from keras_superweights.arguments import check_choice
from keras_superweights.arguments import check_fields
from keras_superweights.arguments import check_integer

# Keras draws embeddings uniformly from [-0.05, 0.05].
EMBEDDING_VARIANCE = 0.05**2 / 3

KINDS = (
    "conv",
    "conv_transpose",
    "depthwise",
    "dense",
    "recurrent",
    "embedding",
)


@dataclass(frozen=True)
class KernelSpec:
    """The kernel of one layer of one member.

    Attributes:
        member: Index of the member that the layer belongs to.
        layer: Path of the layer in its member: its name, after those of the
            models and wrappers around it, `"encoder/conv1"`.
        shape: Shape of the kernel as in Keras: window first, then inputs and
            outputs, `(3, 3, 16, 32)` for a convolution and `(64, 10)` for a
            dense layer.
        weight: Name of the kernel in its layer, which may have several:
            `"kernel"`, `"recurrent_kernel"`, `"pointwise_kernel"`, ...
        kind: Use of the kernel by its layer, one of `KINDS`. By default
            `"dense"` for a matrix, and `"conv"` for a kernel with a window.
        fan_in: Scalars that feed one output, as Keras' initializers count
            them; by default computed from the shape.

    Example:

    >>> KernelSpec(0, "conv", (3, 3, 16, 32)).fan_in
    144
    """

    member: int
    layer: str
    shape: tuple[int, ...]
    weight: str = "kernel"
    kind: str = ""
    fan_in: int = 0

    def __post_init__(self):
        check_fields(self)
        if len(self.shape) < 2 or any(side < 1 for side in self.shape):
            raise ValueError(
                "A kernel needs at least an input and an output axis, all of "
                f"positive size. Received: shape={self.shape} for layer "
                f"'{self.layer}' of member {self.member}."
            )
        if not self.kind:
            kind = "conv" if self.window else "dense"
            object.__setattr__(self, "kind", kind)
        check_choice("kind", self.kind, KINDS)
        if not self.fan_in:
            fan_in = self.size // self.shape[-1]
            object.__setattr__(self, "fan_in", fan_in)
        check_integer("fan_in", self.fan_in)

    @property
    def variance(self) -> float:
        """Variance of its scalars at the start.

        That of He et al. (2015), for kernels before a rectifier, except for
        recurrent kernels, which have that of Keras' orthogonal initializer
        (a state neither grows nor shrinks), and embeddings, which have Keras'.
        """
        if self.kind == "embedding":
            return EMBEDDING_VARIANCE
        return (1.0 if self.kind == "recurrent" else 2.0) / self.fan_in

    @property
    def window(self) -> tuple[int, ...]:
        """Shape of the window; empty for a dense kernel."""
        return self.shape[:-2]

    @property
    def box(self) -> tuple[int, int]:
        """Inputs and outputs: the plane in which kernels overlap."""
        return self.shape[-2:]

    @property
    def size(self) -> int:
        """Scalars in the kernel."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class UnsharedKernel:
    """A kernel that no rule can share, which stays private to its member.

    Attributes:
        layer: Path of its layer in its member, as in `KernelSpec`.
        weight: Name of the kernel in its layer.
        shape: Shape of the kernel.
        reason: Why it cannot be shared, as the end of a sentence.
    """

    layer: str
    weight: str
    shape: tuple[int, ...]
    reason: str

    def __post_init__(self):
        check_fields(self)

    @property
    def size(self) -> int:
        """Scalars in the kernel."""
        return math.prod(self.shape)


def reasons(kernels: Sequence[UnsharedKernel]) -> str:
    """Returns text on why kernels are not shared; empty if there are none.

    Example:

    >>> kernel = UnsharedKernel("rnn/cell", "kernel", (4, 8), "it is simple")
    >>> reasons([kernel])
    "Not shared: 'rnn/cell/kernel' (32 scalars): it is simple."
    """
    by_reason = {}
    for kernel in kernels:
        by_reason.setdefault(kernel.reason, []).append(kernel)
    parts = []
    for reason, alike in by_reason.items():
        names = ", ".join(f"'{k.layer}/{k.weight}'" for k in alike)
        size = sum(kernel.size for kernel in alike)
        parts.append(f"{names} ({size:,} scalars): {reason}")
    return f"Not shared: {'; '.join(parts)}." if parts else ""


@dataclass(frozen=True)
class MemberSpec:
    """One member: its shareable kernels, and the size of all else.

    Attributes:
        name: Name of the member's model.
        kernels: Its shareable kernels in the order of depth.
        other_params: Its other trainable scalars: heads, biases, batch-norm
            scales and offsets, and kernels that cannot be shared.
        unshared: The kernels among those scalars that cannot be shared,
            without heads, which need not be.
        heads: The kernels of its heads, also among those scalars.
        vectors: Its biases, scales and offsets, also among those scalars.
    """

    name: str
    kernels: tuple[KernelSpec, ...]
    other_params: int
    unshared: tuple[UnsharedKernel, ...] = ()
    heads: tuple[KernelSpec, ...] = ()
    vectors: tuple[VectorSpec, ...] = ()

    def __post_init__(self):
        check_fields(self)
        check_integer("other_params", self.other_params, least=0)

    @property
    def num_params(self) -> int:
        """Trainable scalars of the member without any sharing."""
        return self.other_params + sum(k.size for k in self.kernels)

    def offered(self, heads: bool, vectors: bool) -> "MemberSpec":
        """Returns the member as a rule shares it.

        Args:
            heads: Whether the kernels of heads are among its kernels.
            vectors: Whether its vectors are kept.
        """
        kernels = self.kernels + (self.heads if heads else ())
        more = sum(kernel.size for kernel in kernels[len(self.kernels) :])
        return replace(
            self,
            kernels=kernels,
            other_params=self.other_params - more,
            heads=(),
            vectors=self.vectors if vectors else (),
        )


def is_fraction(budget_params) -> bool:
    """Whether a budget is a fraction, that is a float of at most 100.

    More than 100 times the parameters of the members makes no sense.
    """
    return not isinstance(budget_params, int) and budget_params <= 100


def resolve_budget(budget_params, members: Sequence[MemberSpec]) -> int:
    """Converts a budget to a number of trainable scalars.

    Args:
        budget_params: An integer number of scalars, or a float: a fraction of
            the parameters that the members have without sharing.
        members: The members, for the fraction.

    Returns:
        The budget as an `int`, rounded down.

    Raises:
        TypeError: If the budget is not a number.
        ValueError: If it is not positive and finite, or a float so large that
            it must be a count.

    Example:

    >>> member = MemberSpec("net", (KernelSpec(0, "dense", (8, 5)),), 10)
    >>> resolve_budget(0.5, [member])
    25
    """
    if isinstance(budget_params, bool) or not isinstance(
        budget_params, numbers.Real
    ):
        raise TypeError(
            "`budget_params` must be an integer number of scalars or a float "
            "fraction of the members' own parameters. Received: "
            f"budget_params={budget_params!r} of type "
            f"{type(budget_params).__name__}."
        )
    if not math.isfinite(budget_params) or budget_params <= 0:
        raise ValueError(
            "`budget_params` must be positive and finite. Received: "
            f"budget_params={budget_params}."
        )
    if isinstance(budget_params, numbers.Integral):
        return int(budget_params)
    if not is_fraction(budget_params):
        raise ValueError(
            "A float `budget_params` is a fraction of the parameters that the "
            "members have when they share nothing, and more than 100 times as "
            f"many makes no sense. Received: budget_params={budget_params}. "
            f"For a count, pass an integer: {int(budget_params)}."
        )
    members = as_tuple("members", members, MemberSpec, "a list of members")
    independent = sum(member.num_params for member in members)
    return int(budget_params * independent)
