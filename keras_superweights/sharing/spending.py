"""Spends the rest of a budget on templates.

Every bank starts with one template. The rest goes, one template at a time, to
the bank with the fewest templates per kernel in which one more still fits.
Maximising the smallest ratio first is what sharing in proportion means (ME,
section 3.1): a bank's share grows with its kernels times their size.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Demand:
    """The cost of one bank, and the most templates that it can use.

    Attributes:
        size: Scalars in one template.
        num_kernels: Kernels that use the bank.
        most: The most templates it may have.
        mixed: The most templates that one kernel mixes.
        plain_single: Whether a single template is used as it is, without
            coefficients.
    """

    size: int
    num_kernels: int
    most: int
    mixed: int
    plain_single: bool = False

    def coefficients(self, num_templates: int) -> int:
        """Returns the coefficients of all kernels for so many templates."""
        if self.plain_single and num_templates == 1:
            return 0
        return self.num_kernels * min(self.mixed, num_templates)

    def cost(self, num_templates: int) -> int:
        """Returns the trainable scalars for so many templates."""
        return self.size * num_templates + self.coefficients(num_templates)


def minimum_cost(demands: Sequence[Demand]) -> int:
    """Returns the scalars that one template per bank needs."""
    return sum(demand.cost(1) for demand in demands)


def spend(demands: Sequence[Demand], scalars: int) -> list[int]:
    """Returns a number of templates per bank that cost at most `scalars`.

    Takes O(T log B) for T templates in B banks.

    Args:
        demands: One per bank.
        scalars: Scalars to spend, at least `minimum_cost(demands)`.

    Example:

    >>> wide, narrow = Demand(100, 4, 8, 8), Demand(10, 2, 8, 8)
    >>> spend([wide, narrow], 260)
    [2, 4]
    """
    left = scalars - minimum_cost(demands)
    if left < 0:
        raise ValueError(
            "`scalars` must cover one template per bank. Received: "
            f"scalars={scalars}, needed: {minimum_cost(demands)}."
        )
    counts = [1] * len(demands)
    queue = [(1 / d.num_kernels, bank) for bank, d in enumerate(demands)]
    heapq.heapify(queue)
    while queue:
        _, bank = heapq.heappop(queue)
        demand = demands[bank]
        more = counts[bank] + 1
        price = demand.cost(more) - demand.cost(counts[bank])
        if more > demand.most or price > left:
            continue  # for good: the rest only shrinks
        left -= price
        counts[bank] = more
        heapq.heappush(queue, (more / demand.num_kernels, bank))
    return counts


def unused_reason(demands: Sequence[Demand], counts: Sequence[int]) -> str:
    """Returns why scalars may be left after `spend`, for a `Plan`."""
    if demands and all(
        n == d.most for d, n in zip(demands, counts, strict=True)
    ):
        return "every bank has as many templates as it may have"
    return "no further template fits" if demands else "nothing can use more"
