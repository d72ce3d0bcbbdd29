import random

import pytest

from keras_superweights.sharing import spending


def cost(demand, count):
    """Counted one by one: templates, then who mixes how many of them."""
    scalars = 0
    for _ in range(count):
        scalars += demand.size
    if demand.plain_single and count == 1:
        return scalars
    for _ in range(demand.num_kernels):
        scalars += count if count < demand.mixed else demand.mixed
    return scalars


def spend_slowly(demands, scalars):
    """One template at a time to the lowest ratio that it still fits."""
    counts = [1] * len(demands)

    def total(counts):
        return sum(cost(d, n) for d, n in zip(demands, counts, strict=True))

    while True:
        for bank in sorted(
            range(len(demands)),
            key=lambda i: (counts[i] / demands[i].num_kernels, i),
        ):
            more = list(counts)
            more[bank] += 1
            if more[bank] <= demands[bank].most and total(more) <= scalars:
                counts = more
                break
        else:
            return counts


def random_demands(seed):
    draw = random.Random(seed)
    demands = []
    for _ in range(draw.randint(1, 6)):
        most = draw.randint(1, 8)
        demands.append(
            spending.Demand(
                size=draw.choice([1, 9, 36, 144, 1000]),
                num_kernels=draw.randint(1, 6),
                most=most,
                mixed=draw.randint(1, most),
                plain_single=draw.random() < 0.5,
            )
        )
    return demands


def test_spending_equals_trying_every_bank_at_every_step():
    for seed in range(200):
        demands = random_demands(seed)
        minimum = spending.minimum_cost(demands)
        assert minimum == sum(cost(d, 1) for d in demands)
        for scalars in (minimum, minimum + seed, int(minimum * 2.7)):
            counts = spending.spend(demands, scalars)
            assert counts == spend_slowly(demands, scalars), (seed, scalars)


def test_too_little_to_spend_is_refused():
    with pytest.raises(ValueError, match="scalars=12, needed: 13"):
        spending.spend([spending.Demand(10, 3, 8, 8)], 12)
