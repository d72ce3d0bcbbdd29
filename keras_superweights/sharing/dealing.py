"""Flat stores: read by any kernel in its own shape (NPAS, section 3.1)."""

from collections.abc import Callable
from collections.abc import Sequence
from typing import NamedTuple

# Totals that are tried at a time for the cheapest.
TRIES = 3000


class View(NamedTuple):
    """How a kernel reads a store: as rows of `length` scalars.

    Attributes:
        length: Scalars in a row; less than the kernel has if the store has
            less, and then the row is upsampled.
        first: Index of the first row that is a template of the kernel.
        num_templates: How many rows, beginning again at row 0 after the last.
    """

    length: int
    first: int
    num_templates: int


def deal(sizes: Sequence[int], store: int, most: int) -> list[View]:
    """Deals the templates of a store to kernels (NPAS, section 3.1).

    A store of `s` scalars holds `r = s // n` templates for a kernel of `n`.
    The kernel reads all of them; `most` where there are more, and then goes
    on where the kernel before it has stopped, so that scalars are used again
    as late as possible. A kernel larger than the store gets one template, the
    whole store, and has to be upsampled.

    Args:
        sizes: Scalars in each kernel, in order.
        store: Scalars in the store.
        most: The most templates of one kernel, `P` in the paper.

    Returns:
        One `View` a kernel.

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
    """Scalars of a store up to the last that a view reads."""
    ends = []
    for length, first, count in views:
        rows = store // length
        ends.append(min(first + count, rows) * length)
    return max(ends)


def in_proportion(total: int, weights: Sequence[int]) -> list[int]:
    """Splits a number into positive integers in proportion to weights.

    Rounded down, and what is left over goes to those who lost most.

    Example:

    >>> in_proportion(10, [3, 3, 1])
    [4, 4, 2]
    """
    spare = total - len(weights)  # one each before all else
    if spare < 0:
        raise ValueError(
            f"`total` must be at least 1 for each of {len(weights)} weights. "
            f"Received: total={total}."
        )
    whole = sum(weights)
    shares = [spare * weight // whole for weight in weights]
    lost = sorted(
        range(len(weights)), key=lambda i: -(spare * weights[i] % whole)
    )
    for index in lost[: spare - sum(shares)]:
        shares[index] += 1
    return [1 + share for share in shares]


def largest_total(
    cost: Callable[[int], int], scalars: int, low: int, high: int
) -> int | None:
    """The size of all stores together that a budget pays for.

    What stores cost beyond their size, the coefficients of the templates that
    they hold, or the masks of the kernels that they do not hold, goes up and
    down with their size, so that the largest cannot be bisected. Beginning at
    the top, the total is lowered by what is too much; that, or the
    largest of a grid of totals, is raised by what is left.

    Args:
        cost: Scalars that a total costs, itself included.
        scalars: What may be spent.
        low: Smallest total.
        high: Largest total that can be used.

    Returns:
        The total; `None` if nothing is found. The cheapest may still do.
    """
    total = min(high, scalars)
    while total >= low and cost(total) > scalars:
        total -= cost(total) - scalars
    # What is lowered by a jump may have gone too far.
    fitting = [
        t
        for t in (total, *_geometric(low, high))
        if t >= low and cost(t) <= scalars
    ]
    total = max(fitting, default=None)  # not by cost: that of masks is waste
    while total is not None and total < high:
        more = min(high, total + scalars - cost(total))
        if not cost(total) < cost(more) <= scalars:
            break
        total = more
    return total


def cheapest_total(cost: Callable[[int], int], low: int, high: int) -> int:
    """The size of all stores together that costs least.

    All integers are tried. Where these are many, it is about `TRIES` of those
    up to the cost of the cheapest that is known, and then those between the
    neighbours of the best.
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
    """Integers from `low` to `high`, a tenth apart."""
    totals = [low]
    while totals[-1] < high:
        totals.append(min(high, totals[-1] + max(1, totals[-1] // 10)))
    return totals
