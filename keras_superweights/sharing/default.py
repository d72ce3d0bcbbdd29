"""The rule for members that come without one."""

from collections.abc import Sequence

from keras_superweights.allocation.specs import MemberSpec
from keras_superweights.arguments import as_tuple
from keras_superweights.arguments import check_integer
from keras_superweights.sharing.fair_shares import FairShares
from keras_superweights.sharing.independent import Independent
from keras_superweights.sharing.rule import Rule
from keras_superweights.sharing.shapeshifter import Shapeshifter


def default_rule(members: Sequence[MemberSpec], budget_params: int) -> Rule:
    """Returns the rule that members share by when none is given.

    `Independent()` where the budget is enough for everything. Otherwise, for
    several members, alike or not, `FairShares()`, the best of the rules in
    `benchmarks/README.md`. For a single member, or a budget that cannot pay
    for one kernel of every shape, `Shapeshifter()`, which works with any
    shapes and any budget.

    Args:
        members: The members.
        budget_params: Their budget, as a number of parameters.

    Example:

    >>> from keras_superweights.allocation import KernelSpec
    >>> kernels = (KernelSpec(0, "a", (8, 8)), KernelSpec(0, "b", (8, 8)))
    >>> member = MemberSpec("net", kernels, other_params=10)
    >>> print(default_rule([member], 100))
    Shapeshifter()
    """
    members = as_tuple("members", members, MemberSpec, "a list of members")
    check_integer("budget_params", budget_params)
    if budget_params >= sum(member.num_params for member in members):
        return Independent()
    rule = FairShares()
    if len(members) > 1 and budget_params >= rule.smallest_budget(members):
        return rule
    return Shapeshifter()
