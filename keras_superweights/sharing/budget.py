"""What every sharing rule says about a budget, in the same words."""

from collections.abc import Sequence
from typing import NoReturn

from keras_superweights.allocation.specs import MemberSpec
from keras_superweights.sharing.spending import Demand


def refuse(
    budget_params: int,
    minimum: int,
    sharing,
    members: Sequence[MemberSpec],
    kept: int = 0,
    hint: str = "",
) -> NoReturn:
    """Raises the error for a budget below the minimum of a rule.

    Args:
        budget_params: The budget.
        minimum: The smallest that works.
        sharing: The rule.
        members: The members.
        kept: Scalars of the minimum that the members do not share.
        hint: What needs less.
    """
    independent = sum(member.num_params for member in members)
    sentences = [
        "`budget_params` is too small for these members and this way of "
        f"sharing. The smallest budget that works is {minimum}. Received: "
        f"budget_params={budget_params}, sharing={sharing}.",
        f"The smallest is {minimum / independent:.1%} of the {independent} "
        "that the members have when they share nothing.",
    ]
    if kept:
        sentences.append(
            f"Of it they keep {kept} to themselves: heads, batch norm, biases "
            "and kernels that the rule does not share."
        )
    if hint:
        sentences.append(hint)
    raise ValueError(" ".join(sentences))


# What rules that need whole kernels advise.
SMALLER = "`Shapeshifter` works with less."


def unused_note(
    demands: Sequence[Demand], counts: Sequence[int], scalars: int
) -> str:
    """Says why not all of `scalars` went into templates."""
    spent = sum(d.cost(n) for d, n in zip(demands, counts, strict=True))
    if spent == scalars:
        return ""
    if not demands:
        return f"{scalars - spent:,} scalars are left: nothing can use more."
    if all(n == d.most for d, n in zip(demands, counts, strict=True)):
        return (
            f"{scalars - spent:,} scalars are left: every bank has as many "
            "templates as it may have."
        )
    return f"{scalars - spent:,} scalars are left: no further template fits."
