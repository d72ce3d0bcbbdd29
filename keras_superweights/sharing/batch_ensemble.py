"""BatchEnsemble: one kernel for all members, times vectors of their own."""

from dataclasses import dataclass
from dataclasses import field

from keras_superweights import parts
from keras_superweights.allocation.allocation import all_vectors
from keras_superweights.allocation.vectors import VECTOR_KINDS
from keras_superweights.arguments import as_tuple
from keras_superweights.arguments import check_choice
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
    members. Heads are shared likewise. What is not a kernel is each member's
    own, batch norm, too ("ensemble BN"), unless `also_shared` names it.
    Statistics of batch norm always are: they are measured, and common ones
    would mix what differs.

    Members' losses are summed. The authors minimise their mean: the same steps
    of SGD, at a learning rate divided, and weight decay multiplied, by the
    number of members.

    Members must have the same architecture. For others, or fewer templates
    than layers, give `parts.RankOne` to another rule as one of its
    `transforms`.

    Args:
        start: Initial vectors: see `parts.RankOne`. By default those of the
            authors' code, normal with mean 1 and deviation 0.5.
        rate: Fast-weight learning rate: see `parts.RankOne`. The authors'
            recipe has 0.5.
        also_shared: What else members have in common: of `"bias"` and
            `"normalization"` (scales and offsets), or one of them.
        kinds, exclude, transforms, heads: See `Rule`. Heads are shared unless
            `heads=False`.

    Raises:
        TypeError: If `also_shared` is not of strings.
        ValueError: If `start` or `rate` is not one of `parts.RankOne`, or
            `also_shared` names something else.

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
    also_shared: tuple[str, ...] = ()
    heads: bool = field(default=True, kw_only=True)

    def __post_init__(self):
        expected = f"of {VECTOR_KINDS}, or one of them"
        shared = as_tuple("also_shared", self.also_shared, str, expected)
        for kind in shared:
            check_choice("also_shared", kind, VECTOR_KINDS)
        object.__setattr__(self, "also_shared", shared)
        object.__setattr__(self, "start", self._factors().start)
        super().__post_init__()

    def _factors(self, kernels=()):
        return parts.RankOne(self.start, self.rate, kernels=tuple(kernels))

    def common(self, members):
        if not self.also_shared or len(members) < 2:
            return ()
        vectors = all_vectors(members)
        _check_alike(vectors)
        places = clusters.turns(vector.member for vector in vectors)
        groups = {}
        for index, (place, vector) in enumerate(
            zip(places, vectors, strict=True)
        ):
            if vector.kind in self.also_shared:
                groups.setdefault(place, []).append(index)
        return tuple(map(tuple, groups.values()))

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


def _check_alike(weights):
    """Refuses members whose weights differ in kind, shape or order."""
    members = {}
    for weight in weights:
        alike = members.setdefault(weight.member, [])
        alike.append((weight.kind, weight.shape))
    first, *others = members
    for other in others:
        if members[other] != members[first]:
            raise ValueError(
                "Members of `BatchEnsemble` must have the same architecture. "
                f"Received: member {first} with weights {members[first][:6]}, "
                f"member {other} with weights {members[other][:6]}. For unlike "
                "members, use `HardSharing(scope='members', "
                "transforms=keras_superweights.parts.RankOne())`."
            )
