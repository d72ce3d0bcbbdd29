"""What every sharing rule says about a budget, in the same words."""

from collections.abc import Sequence
from typing import NoReturn

from keras_superweights.allocation.templates import Demand


def refuse(
    budget_params: int, minimum: int, sharing, hint: str = ""
) -> NoReturn:
    """Raises the error for a budget below the minimum of a rule."""
    raise ValueError(
        "`budget_params` is too small for these members and this way of "
        f"sharing. The smallest budget that works is {minimum}. Received: "
        f"budget_params={budget_params}, sharing={sharing}. {hint}".rstrip()
    )


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
