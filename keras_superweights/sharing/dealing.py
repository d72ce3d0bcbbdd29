"""Flat stores: read by any kernel in its own shape (NPAS, section 3.1)."""

from collections.abc import Callable
from collections.abc import Sequence
from typing import NamedTuple

# Totals tried at a time in the search for the cheapest.
TRIES = 3000


class View(NamedTuple):
    """How a kernel reads a store: as rows of `length` scalars.

    Attributes:
        length: Scalars in a row; those of the kernel, or of a smaller store,
            whose row is then upsampled.
        first: Index of the kernel's first template.
        num_templates: Number of templates; row 0 follows the last row.
    """

    length: int
    first: int
    num_templates: int


def deal(sizes: Sequence[int], store: int, most: int) -> list[View]:
    """Deals the templates of a store to kernels (NPAS, section 3.1).

    A store of `s` scalars holds `r = s // n` templates for a kernel of `n`.
    The kernel reads all of them, or `most` where there are more; then it
    continues where the previous kernel stopped, so that scalars are reused as
    late as possible. A kernel larger than the store gets the whole store as
    one template, to be upsampled.

    Args:
        sizes: Scalars in each kernel, in order.
        store: Scalars in the store.
        most: The most templates per kernel, `P` in the paper.

    Example:

    >>> deal([4, 4, 7, 20], store=16, most=2)[:2]
    [View(length=4, first=0, num_templates=2), \
View(length=4, first=2, num_templates=2)]
    """
    views = []
    stopped = 0
    for size in sizes:
        rows = store // size
        if rows == 0:
            views.append(View(store, 0, 1))
        elif rows <= most:
            views.append(View(size, 0, rows))
        else:
            first = -(-stopped // size) % rows
            views.append(View(size, first, most))
            stopped = (first + most) % rows * size
    return views


def read(views: Sequence[View], store: int) -> int:
    """Returns the scalars of a store up to the last that a view reads."""
    return max(
        min(first + count, store // length) * length
        for length, first, count in views
    )


def in_proportion(total: int, weights: Sequence[int]) -> list[int]:
    """Splits a number into positive integers in proportion to weights.

    Rounds down, and gives the remainder to those who lost most.

    Example:

    >>> in_proportion(10, [3, 3, 1])
    [4, 4, 2]
    """
    spare = total - len(weights)  # one for each, before all else
    if spare < 0:
        raise ValueError(
            f"`total` must be at least 1 for each of {len(weights)} weights. "
            f"Received: total={total}."
        )
    whole = sum(weights)
    shares = [1 + spare * weight // whole for weight in weights]
    lost = sorted(
        range(len(weights)), key=lambda i: -(spare * weights[i] % whole)
    )
    for index in lost[: total - sum(shares)]:
        shares[index] += 1
    return shares


def largest_total(
    cost: Callable[[int], int], scalars: int, low: int, high: int
) -> int | None:
    """Returns the largest total size of stores that a budget pays for.

    The cost beyond the total itself, of coefficients of the templates held or
    of masks of kernels too large for them, is not monotonic, so bisection
    does not work. From the top, the total is lowered by its excess; that, or
    the largest affordable one of a grid, is then raised by what is left.

    Args:
        cost: Scalars that a total costs, itself included.
        scalars: Scalars to spend.
        low, high: Smallest and largest total.

    Returns:
        The total; `None` if none is found, though the cheapest may fit.
    """
    total = min(high, scalars)
    while total >= low and cost(total) > scalars:
        total -= cost(total) - scalars
    # A jump may have lowered the total too far.
    fitting = [
        t
        for t in (total, *_geometric(low, high))
        if t >= low and cost(t) <= scalars
    ]
    total = max(fitting, default=None)  # not by cost: masks are waste
    while total is not None and total < high:
        more = min(high, total + scalars - cost(total))
        if not cost(total) < cost(more) <= scalars:
            break
        total = more
    return total


def cheapest_total(cost: Callable[[int], int], low: int, high: int) -> int:
    """Returns the total size of stores that costs least.

    Tries all integers; where they are many, about `TRIES` of those up to the
    cost of the cheapest known, and then those between the best's neighbours.
    """
    best = min(_geometric(low, high), key=cost)
    if high - low > TRIES:
        high = min(high, cost(best))
    while True:
        step = -(-(high - low) // TRIES) or 1
        best = min(range(low, high + 1, step), key=cost)
        if step == 1:
            return best
        low, high = max(low, best - step), min(high, best + step)


def _geometric(low: int, high: int) -> list[int]:
    """Returns integers from `low` to `high` in steps of a tenth."""
    totals = [low]
    while totals[-1] < high:
        totals.append(min(high, totals[-1] + max(1, totals[-1] // 10)))
    return totals
