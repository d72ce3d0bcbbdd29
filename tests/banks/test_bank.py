import random

import numpy as np
import pytest

from keras_superweights.banks import Bank


@pytest.mark.parametrize(
    ("num_templates", "size", "first"),
    [(2, 5, 0), (1, 10, 0), (2, 5, 1), (1, 4, 1), (2, 3, 2), (3, 3, 2)],
)
def test_templates_are_rows_of_the_bank_dealt_round_robin(
    num_templates, size, first
):
    bank = Bank(size=10, variance=1.0)
    bank.store.assign(np.arange(10.0))
    rows = np.arange(10.0)[: 10 // size * size].reshape(-1, size)
    expected = rows[[(first + t) % len(rows) for t in range(num_templates)]]
    (templates,) = bank.views([(num_templates, size, first)])
    np.testing.assert_array_equal(templates, expected)


def random_readers(draw, scalars):
    readers = []
    for _ in range(draw.randint(1, 5)):
        size = draw.randint(1, scalars)
        rows = scalars // size
        readers.append((draw.randint(1, rows), size, draw.randint(0, rows - 1)))
    return readers


def test_the_gradient_of_all_readers_is_what_each_scalar_is_given():
    draw = random.Random(0)
    untouched = 0
    for _ in range(60):
        bank = Bank(draw.randint(1, 40), variance=1.0)
        readers = random_readers(draw, bank.size)
        # Where each scalar of each template lies, by reading places.
        values = bank.store.numpy()
        bank.store.assign(np.arange(bank.size))
        places = [np.array(view, int) for view in bank.views(readers)]
        bank.store.assign(values)
        given = [np.random.randn(*p.shape).astype("float32") for p in places]
        for view, place in zip(bank.views(readers), places, strict=True):
            np.testing.assert_array_equal(view, values[place])
        expected = np.zeros(bank.size)
        for place, gradient in zip(places, given, strict=True):
            np.add.at(expected, place, gradient)
        untouched += (expected == 0).any()
        found = bank.gradient(readers, given)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert untouched  # some scalars that nobody has read
