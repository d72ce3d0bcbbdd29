"""What a kernel and a member are to the allocation: names and shapes."""

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class KernelSpec:
    """The kernel of one layer of one member.

    Attributes:
        member: Index of the member that the layer belongs to.
        layer: Name of the layer, unique within its member.
        shape: Shape of the kernel as Keras lays it out: window first, then
            inputs and outputs, `(3, 3, 16, 32)` for a convolution and
            `(64, 10)` for a dense layer.

    Example:

    >>> KernelSpec(0, "conv", (3, 3, 16, 32)).fan_in
    144
    """

    member: int
    layer: str
    shape: tuple[int, ...]

    def __post_init__(self):
        if len(self.shape) < 2 or any(side < 1 for side in self.shape):
            raise ValueError(
                "A kernel needs at least an input and an output axis, all of "
                f"positive size. Received: shape={self.shape} for layer "
                f"'{self.layer}' of member {self.member}."
            )

    @property
    def window(self) -> tuple[int, ...]:
        """Shape of the window; empty for a dense kernel."""
        return self.shape[:-2]

    @property
    def box(self) -> tuple[int, int]:
        """Inputs and outputs: the plane on which kernels overlap."""
        return self.shape[-2:]

    @property
    def size(self) -> int:
        """Scalars in the kernel."""
        return math.prod(self.shape)

    @property
    def fan_in(self) -> int:
        """Scalars that feed one output, as initializers count them."""
        return self.size // self.shape[-1]


@dataclass(frozen=True)
class MemberSpec:
    """One member: the kernels it may share, and what it keeps to itself.

    Attributes:
        name: Name of the member's model.
        kernels: Its shareable kernels in the order of depth.
        other_params: Its other trainable scalars: heads, biases, batch-norm
            scales and offsets, and kernels that cannot be shared.
    """

    name: str
    kernels: tuple[KernelSpec, ...]
    other_params: int

    def __post_init__(self):
        if not isinstance(self.other_params, int) or self.other_params < 0:
            raise ValueError(
                f"`other_params` of member '{self.name}' must be an integer of "
                f"0 or more. Received: other_params={self.other_params!r}."
            )

    @property
    def num_params(self) -> int:
        """Trainable scalars of the member when it shares nothing."""
        return self.other_params + sum(k.size for k in self.kernels)


def resolve_budget(budget_params, members: Sequence[MemberSpec]) -> int:
    """Turns a budget into a number of trainable scalars.

    Args:
        budget_params: An integer number of scalars, or a float: a fraction of
            the parameters that the members have when they share nothing.
        members: The members, for the fraction.

    Returns:
        The budget as an `int`, rounded down.

    Raises:
        TypeError: If the budget is not a number.
        ValueError: If it is not positive and finite, or a float so large that
            a count must have been meant.

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
    if budget_params > 100:
        raise ValueError(
            "A float `budget_params` is a fraction of the parameters that the "
            "members have when they share nothing, and more than 100 times as "
            f"many makes no sense. Received: budget_params={budget_params}. "
            f"For a count, pass an integer: {int(budget_params)}."
        )
    independent = sum(member.num_params for member in members)
    return int(budget_params * independent)
