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
    templates = bank.templates(num_templates, size, first)
    np.testing.assert_array_equal(templates, expected)


@pytest.mark.parametrize("variance", [0.01, 1.0, 4.0])
def test_the_variance_at_the_start_is_the_one_asked_for(variance):
    draws = np.array(Bank(size=200_000, variance=variance).store)
    assert draws.var() == pytest.approx(variance, rel=0.02)
    assert abs(draws.mean()) < 0.02 * variance**0.5


def test_a_bank_is_one_trainable_variable():
    bank = Bank(size=7, variance=1.0)
    assert len(bank.weights) == len(bank.trainable_variables) == 1
    assert bank.store.shape == (7,)
