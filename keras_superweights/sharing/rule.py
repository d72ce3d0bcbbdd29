"""The base of all sharing rules."""

import dataclasses
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace

from keras_superweights.allocation.allocation import Allocation
from keras_superweights.allocation.allocation import all_kernels
from keras_superweights.allocation.allocation import all_vectors
from keras_superweights.allocation.part import Transform
from keras_superweights.allocation.specs import KernelSpec
from keras_superweights.allocation.specs import MemberSpec
from keras_superweights.arguments import as_tuple
from keras_superweights.arguments import check_fields
from keras_superweights.arguments import check_integer
from keras_superweights.sharing.plan import Plan
from keras_superweights.sharing.plan import TooSmallError
from keras_superweights.sharing.selection import check_kinds
from keras_superweights.sharing.selection import choose


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A way of sharing: turns kernels and a number of scalars into a plan.

    A rule implements `plan`. The base chooses the kernels, counts the cost of
    all else, refuses too small a budget with the smallest that works, checks
    the plan, and makes the `Allocation`. As text, a rule names only arguments
    that differ from their defaults. The base checks its fields against the
    types that they declare.

    Args:
        kinds: Kinds of kernels to share, of `allocation.specs.KINDS`, or a
            single one as a string; all by default.
        exclude: Patterns, as in `fnmatch` and case-sensitive, of layers to
            leave out, or a single one as a string. Each is compared with a
            kernel's layer and with "layer/weight": `"*_block0_*"`,
            `"lstm/recurrent_kernel"`.
        transforms: Transforms, or a single one, of every chosen kernel before
            its layer reads it, such as `parts.RankOne()`.
        heads: Whether the kernels of heads are shared like all others. By
            default each member keeps its own.

    Raises:
        TypeError: If an argument has another type than its field.
        ValueError: If a kind is unknown.

    Example:

    ```python
    @dataclass(frozen=True)
    class OneKernel(ksw.sharing.Rule):
        \"\"\"All layers of equal kind and shape share one kernel.\"\"\"

        def plan(self, kernels, scalars):
            plan = ksw.sharing.Plan()
            groups = {}
            for index, kernel in enumerate(kernels):
                groups.setdefault((kernel.kind, kernel.shape), []).append(index)
            for (kind, shape), users in groups.items():
                plan.add(
                    name=f"{kind} {shape}",
                    kernels=users,
                    geometry=ksw.parts.Region.of(kernels[users[0]]),
                    mixing=ksw.parts.Plain(),
                )
            return plan


    print(ksw.allocate(members, 0.5, OneKernel()))
    ```
    """

    kinds: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    transforms: tuple[Transform, ...] = ()
    heads: bool = False

    def __post_init__(self):
        def keep(name, kind, expected):
            value = as_tuple(name, getattr(self, name), kind, expected)
            object.__setattr__(self, name, value)

        if self.kinds is not None:
            keep("kinds", str, "a string or a list of strings")
            check_kinds(self.kinds)
        keep("exclude", str, "a string or a list of strings")
        parts = "a transform of `keras_superweights.parts` or a list of them"
        keep("transforms", Transform, parts)
        check_fields(self)

    def plan(self, kernels: Sequence[KernelSpec], scalars: int) -> Plan:
        """Decides what the chosen kernels are made of.

        Args:
            kernels: The kernels that the rule may share, one member after the
                other.
            scalars: What they may cost together, private kernels included.

        Returns:
            A `Plan` with a place for each of them, by its index.

        Raises:
            TooSmallError: If `scalars` are too few; see `Plan.require`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no `plan`.")

    def common(self, members: Sequence[MemberSpec]) -> tuple:
        """Returns the vectors that are one: see `Allocation.common`."""
        return ()

    def offered(self, members: Sequence[MemberSpec]) -> list[MemberSpec]:
        """Returns the members with all that the rule may share."""
        vectors = bool(self.common(members))
        return [member.offered(self.heads, vectors) for member in members]

    def chosen(self, members: Sequence[MemberSpec]) -> tuple[int, ...]:
        """Returns the indices of the members' kernels; see `choose`."""
        kernels = all_kernels(self.offered(members))
        return choose(kernels, self.kinds, self.exclude)

    def chosen_kernels(self, members: Sequence[MemberSpec]) -> list[KernelSpec]:
        """Returns the members' kernels that may be shared."""
        every = all_kernels(self.offered(members))
        return [every[index] for index in self.chosen(members)]

    def allocate(
        self,
        members: Sequence[MemberSpec],
        budget_params: int,
        plan: Callable[[Sequence[KernelSpec], int], Plan] | None = None,
    ) -> Allocation:
        """Allocates the members' kernels inside the budget.

        By the rule's `plan`, or another function that does the same.

        Raises:
            ValueError: If the budget is too small (names the smallest), if
                `kinds` and `exclude` leave nothing, or a pattern matches none.
        """
        expected = "a list of `allocation.MemberSpec`s"
        members = as_tuple("members", members, MemberSpec, expected)
        check_integer("budget_params", budget_params, least=0)
        plan = plan or self.plan
        members = self.offered(members)
        every = all_kernels(members)
        chosen = self.chosen(members)
        kernels = [every[index] for index in chosen]
        fixed = self.fixed_params(members, kernels)
        try:
            planned = plan(kernels, budget_params - fixed)
        except TooSmallError as error:
            self._refuse(error, members, budget_params, fixed)
        if not isinstance(planned, Plan):
            raise TypeError(
                "`plan` of a rule must return a `sharing.Plan`. Received: "
                f"{planned!r} from {self}."
            )
        planned.check(self, kernels, budget_params - fixed)
        if self.transforms:
            planned.give_banks(kernels)  # transforms need generated kernels
        left = budget_params - fixed - planned.cost(kernels)
        note = f"{left:,} scalars are left: {planned.reason}." if left else ""

        def named(part):
            """The part with indices among all kernels."""
            return replace(part, kernels=tuple(chosen[k] for k in part.kernels))

        return Allocation(
            members=tuple(members),
            banks=tuple(planned.banks),
            superweights=tuple(map(named, planned.superweights)),
            budget_params=budget_params,
            transforms=(
                *map(named, planned.transforms),
                *(replace(each, kernels=chosen) for each in self.transforms),
            ),
            sharing=str(self),
            note=note,
            common=self.common(members),
        )

    def fixed_params(
        self, members: Sequence[MemberSpec], kernels: Sequence[KernelSpec]
    ) -> int:
        """Returns the scalars that members have whatever the plan.

        All but the chosen kernels, and those of the rule's transforms; common
        vectors once.
        """
        vectors = all_vectors(members)
        repeated = [i for group in self.common(members) for i in group[1:]]
        return (
            sum(member.num_params for member in members)
            - sum(vectors[index].size for index in repeated)
            - sum(kernel.size for kernel in kernels)
            + sum(t.num_scalars(k) for t in self.transforms for k in kernels)
        )

    def _refuse(self, error, members, budget_params, fixed):
        smallest = fixed + error.needed
        independent = sum(member.num_params for member in members)
        sentences = [
            "`budget_params` is too small for these members and this way of "
            f"sharing. The smallest budget that works is {smallest}. Received: "
            f"budget_params={budget_params}, sharing={self}.",
            f"The smallest is {smallest / independent:.1%} of the "
            f"{independent} that the members have when they share nothing.",
        ]
        kept = fixed + error.kept
        if kept:
            sentences.append(
                f"Of it they keep {kept} to themselves: heads, batch norm, "
                "biases and kernels that the rule does not share."
            )
        if error.hint:
            sentences.append(error.hint)
        raise ValueError(" ".join(sentences)) from None

    def __str__(self):
        values = {f: getattr(self, f.name) for f in dataclasses.fields(self)}
        changed = [
            f"{field.name}={value!r}"
            for field, value in values.items()
            if value != field.default
        ]
        return f"{type(self).__name__}({', '.join(changed)})"
