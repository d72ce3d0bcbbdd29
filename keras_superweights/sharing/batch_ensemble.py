"""BatchEnsemble: one kernel for all members, times vectors of their own."""

from dataclasses import dataclass

from keras_superweights import parts
from keras_superweights.sharing import clusters
from keras_superweights.sharing.plan import SMALLER
from keras_superweights.sharing.plan import Plan
from keras_superweights.sharing.rule import Rule


@dataclass(frozen=True)
class BatchEnsemble(Rule):
    """Gives the same layer of all members one kernel, times rank-one factors.

    With `a_i` and `g_i`, the vectors of member `i` for the inputs and outputs
    of a layer, and `W`, the kernel that the members have in common,

        y = ((x * a_i) W) * g_i + b_i    is    y = x W_i + b_i,
        W_i = W * outer(a_i, g_i)                             (section 3.1)

    and `W_i` is what is generated. The number of parameters follows from the
    members. What is not a kernel is each member's own: heads, biases and batch
    norm ("ensemble BN").

    Members must have the same architecture. For others, or fewer templates
    than layers, give `parts.RankOne` to another rule as one of its
    `transforms`.

    Args:
        start: Initial vectors: see `parts.RankOne`. By default those of the
            authors' code, normal with mean 1 and deviation 0.5.
        rate: Fast-weight learning rate: see `parts.RankOne`. The authors'
            recipe has 0.5.
        kinds, exclude, transforms: See `Rule`.

    Raises:
        ValueError: If `start` or `rate` is not one of `parts.RankOne`.

    Example:

    >>> from keras_superweights.allocation import KernelSpec
    >>> from keras_superweights.allocation import MemberSpec
    >>> members = [
    ...     MemberSpec("net", (KernelSpec(i, "conv", (3, 3, 4, 8)),), 10)
    ...     for i in range(2)
    ... ]
    >>> BatchEnsemble().allocate(members, 400).num_params  # 288 + 2 (4+8+10)
    332

    References:
        - Wen et al., BatchEnsemble: An Alternative Approach to Efficient
          Ensemble and Lifelong Learning, ICLR 2020
    """

    start: str | float | tuple[str | float, str | float] = -0.5
    rate: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "start", self._factors().start)

    def _factors(self, kernels=()):
        return parts.RankOne(self.start, self.rate, kernels=tuple(kernels))

    def plan(self, kernels, scalars):
        _check_alike(kernels)
        plan = Plan()
        for group in clusters.same_layers(kernels):
            plan.add(
                name=group.name,
                kernels=group.kernels,
                geometry=parts.Region.of(kernels[group.kernels[0]]),
                mixing=parts.Plain(),
            )
        plan.transform(self._factors(range(len(kernels))))
        Plan.require(plan.cost(kernels), scalars, hint=SMALLER)
        return plan


def _check_alike(kernels):
    """Refuses members whose kernels differ in kind, shape or order."""
    members = {}
    for kernel in kernels:
        alike = members.setdefault(kernel.member, [])
        alike.append((kernel.kind, kernel.shape))
    first, *others = members
    for other in others:
        if members[other] != members[first]:
            raise ValueError(
                "Members of `BatchEnsemble` must have the same architecture. "
                f"Received: member {first} with kernels {members[first][:6]}, "
                f"member {other} with kernels {members[other][:6]}. For unlike "
                "members, use `HardSharing(scope='members', "
                "transforms=keras_superweights.parts.RankOne())`."
            )
