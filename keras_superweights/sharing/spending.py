"""Spends the rest of a budget on templates.

Every bank starts with one template. The rest goes, one template at a time, to
the bank that has the least of what its kernels should have, and in which one
more still fits. Of a `Demand` that is the fewest templates per kernel.
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

    def filled(self, num_templates: int) -> float:
        """Returns the part of its kernels that the bank can tell apart."""
        return num_templates / self.num_kernels


def minimum_cost(demands: Sequence[Demand]) -> int:
    """Returns the scalars that one template per bank needs."""
    return sum(demand.cost(1) for demand in demands)


def spend(demands: Sequence[Demand], scalars: int) -> list[int]:
    """Returns a number of templates per bank that cost at most `scalars`.

    Takes O(T log B) for T templates in B banks, if coefficients are few.

    Args:
        demands: One per bank: a `Demand`, or whatever answers `most`, `cost`
            and `filled` alike.
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
    queue = [(d.filled(1), bank) for bank, d in enumerate(demands)]
    heapq.heapify(queue)
    too_dear = []  # for good: the rest only shrinks
    while queue:
        level, bank = heapq.heappop(queue)
        demand = demands[bank]
        more = counts[bank] + 1
        if more > demand.most:
            continue
        price = demand.cost(more) - demand.cost(counts[bank])
        if price > left:
            too_dear.append((level, bank))
            continue
        left -= price
        counts[bank] = more
        heapq.heappush(queue, (demand.filled(more), bank))
        if price < 0:  # unless a bank does without coefficients
            queue = list(heapq.merge(sorted(queue), sorted(too_dear)))
            too_dear = []
    return counts


def unused_reason(demands: Sequence[Demand], counts: Sequence[int]) -> str:
    """Returns why scalars may be left after `spend`, for a `Plan`."""
    if demands and all(
        n == d.most for d, n in zip(demands, counts, strict=True)
    ):
        return "every bank has as many templates as it may have"
    return "no further template fits" if demands else "nothing can use more"
