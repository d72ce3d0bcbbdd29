import math
import random

import pytest

from keras_superweights.sharing import dealing


def random_store(draw):
    sizes = [draw.randint(1, 40) for _ in range(draw.randint(1, 12))]
    return sizes, draw.randint(1, 150), draw.randint(1, 5)


def test_kernels_get_as_many_templates_as_the_paper_says():
    draw = random.Random(0)
    for _ in range(500):
        sizes, store, most = random_store(draw)
        for size, view in zip(
            sizes, dealing.deal(sizes, store, most), strict=True
        ):
            # NPAS, 3.1: P_j = max(1, min(floor(|store| / size), P)), and
            # templates of min(size, |store|) scalars.
            assert view.num_templates == max(1, min(store // size, most))
            assert view.length == min(size, store)
            assert 0 <= view.first < store // view.length


def test_no_scalar_is_used_twice_before_all_are_used_once():
    draw = random.Random(1)
    for _ in range(200):
        size, most = draw.randint(1, 9), draw.randint(1, 4)
        store = draw.randint(size, 200)
        rows = store // size
        count = draw.randint(1, 30)
        uses = [0] * rows
        for view in dealing.deal([size] * count, store, most):
            for i in range(view.num_templates):
                uses[(view.first + i) % rows] += 1
        if rows > most:
            assert max(uses) - min(uses) <= 1


def test_kernels_of_other_sizes_go_on_behind_what_was_read():
    views = dealing.deal([4, 6, 4], store=100, most=2)
    # 0 to 8; 12 to 24, the first whole row of 6 behind 8; 24 to 32.
    assert [(v.first * v.length, v.num_templates) for v in views] == [
        (0, 2),
        (12, 2),
        (24, 2),
    ]


def test_what_is_read_ends_with_the_last_row_that_a_view_has():
    draw = random.Random(2)
    for _ in range(300):
        sizes, store, most = random_store(draw)
        views = dealing.deal(sizes, store, most)
        last = 0
        for length, first, count in views:
            for i in range(count):
                row = (first + i) % (store // length)
                last = max(last, (row + 1) * length)
        assert dealing.read(views, store) == last <= store
        # A store cut there gives every kernel the same scalars.
        for length, first, count in views:
            before = [(first + i) % (store // length) for i in range(count)]
            after = [(first + i) % (last // length) for i in range(count)]
            assert before == after


def test_proportions_are_kept_to_one_scalar_and_add_up():
    draw = random.Random(3)
    for _ in range(500):
        weights = [draw.randint(1, 1000) for _ in range(draw.randint(1, 9))]
        total = draw.randint(len(weights), 5000)
        shares = dealing.in_proportion(total, weights)
        assert sum(shares) == total
        assert min(shares) >= 1
        spare = total - len(weights)
        for share, weight in zip(shares, weights, strict=True):
            assert abs(share - 1 - spare * weight / sum(weights)) < 1


def test_fewer_scalars_than_stores_are_refused():
    with pytest.raises(ValueError, match="total=2"):
        dealing.in_proportion(2, [5, 5, 5])


def random_cost(draw, smallest=1):
    """What masks and coefficients cost, as a store of some kernels has it."""
    sizes = [draw.randint(smallest, 300) for _ in range(draw.randint(1, 6))]
    each = draw.randint(1, 9)

    def cost(total):
        masks = sum(math.ceil(size / total) - 1 for size in sizes)
        templates = sum(min(5, total // size) for size in sizes)
        return total + 9 * masks + each * templates

    return cost, 5 * sum(sizes)


def test_the_cheapest_total_is_that_of_a_brute_force():
    draw = random.Random(4)
    for _ in range(200):
        cost, high = random_cost(draw)
        low = draw.randint(1, 3)
        best = min(range(low, high + 1), key=cost)
        assert cost(dealing.cheapest_total(cost, low, high)) == cost(best)


def test_the_total_found_fits_and_is_close_to_the_largest():
    draw = random.Random(5)
    for _ in range(100):
        # In kernels of a few scalars coefficients are most of the cost.
        cost, high = random_cost(draw, smallest=100)
        scalars = draw.randint(1, 2 * high)
        total = dealing.largest_total(cost, scalars, 1, high)
        fitting = [t for t in range(1, high + 1) if cost(t) <= scalars]
        if total is None:
            # Only the neighbourhood of the cheapest is left, if anything.
            assert scalars < 1.1 * cost(dealing.cheapest_total(cost, 1, high))
            continue
        assert 1 <= total <= high
        assert cost(total) <= scalars
        assert cost(total) > 0.5 * max(map(cost, fitting))
