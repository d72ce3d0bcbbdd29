import numpy as np
import pytest

from keras_superweights.parts import WeightedSum
from keras_superweights.parts.weighted_sum import WeightedSumLayer


def test_kernels_mix_all_templates_by_their_own_row_or_that_of_another():
    layer = WeightedSumLayer([1.0, 2.0] * 2, num_templates=3, ties=[0, 1, 0, 1])
    templates = np.random.default_rng(0).normal(size=(3, 5)).astype("float32")
    rows = np.array(layer.coefficients)
    assert rows.shape == (4, 3)
    assert layer.trainable_variables == [layer.coefficients]
    assert layer.ties.dtype == "int32"
    for ties in ([0, 1, 0, 1], [0, 1, 2, 1]):
        layer.ties.assign(ties)
        np.testing.assert_allclose(layer.matrix(), rows[ties])
        expected = rows[ties] @ templates
        np.testing.assert_allclose(layer.mix(templates), expected, rtol=1e-5)
        for row in range(4):
            np.testing.assert_allclose(
                layer.mix_row(templates, row), expected[row], rtol=1e-5
            )


def test_a_row_is_zero_where_its_kernel_does_not_choose():
    choices = ((3, 1), (0, 2), (1, 0))
    layer = WeightedSumLayer(
        [1.0] * 3, num_templates=4, ties=(0, 1, 2), choices=choices
    )
    rows = np.array(layer.coefficients)
    expected = np.zeros((3, 4))
    for row, chosen in enumerate(choices):
        for place, template in enumerate(chosen):
            expected[row, template] = rows[row, place]
    np.testing.assert_allclose(layer.matrix(), expected)


@pytest.mark.parametrize("num_templates", [1, 2, 3, 4, 6])
def test_rows_start_with_their_norms_orthogonal_where_they_can_be(
    num_templates,
):
    norms = [0.3, 1.0, 2.0, 5.0]
    layer = WeightedSumLayer(norms, num_templates, ties=range(4))
    rows = np.array(layer.coefficients)
    products = rows @ rows.T
    np.testing.assert_allclose(np.diag(products), np.square(norms), rtol=1e-5)
    if num_templates >= 4:
        expected = np.diag(np.square(norms))
        np.testing.assert_allclose(products, expected, atol=1e-5)


def test_rows_that_mix_the_same_templates_start_orthogonal():
    choices = [(0, 1), (2, 3), (0, 1), (2, 3), (1, 2)]
    layer = WeightedSumLayer([1.0] * 5, 4, ties=range(5), choices=choices)
    rows = np.array(layer.coefficients)
    for one, other in ((0, 2), (1, 3)):
        assert rows[one] @ rows[other] == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)


def test_rows_in_use_start_orthogonal_where_some_are_tied():
    ties = (0, 1, 0, 3, 1, 1)
    layer = WeightedSumLayer([1.0] * 6, num_templates=3, ties=ties)
    matrix = np.array(layer.matrix())
    expected = np.equal.outer(ties, ties)
    np.testing.assert_allclose(matrix @ matrix.T, expected, atol=1e-5)


def test_joining_rows_take_the_first_at_the_mean_square_of_the_norms():
    layer = WeightedSumLayer([3.0, 4.0, 5.0], num_templates=4, ties=[0, 1, 2])
    before = layer.coefficients.numpy()
    layer.set_ties([0, 0, 2])
    joined, alone = layer.coefficients.numpy()[[0, 2]]
    mean = np.sqrt((3.0**2 + 4.0**2) / 2)
    np.testing.assert_allclose(joined, before[0] * mean / 3.0, rtol=1e-5)
    np.testing.assert_array_equal(alone, before[2])
    matrix = np.array(layer.matrix())
    np.testing.assert_array_equal(matrix[0], matrix[1])


def test_scalars_are_counted_for_every_row():
    every = WeightedSum.untied(3)
    assert every.ties == (0, 1, 2)
    assert every.num_scalars(3, 5) == 15
    assert every.with_ties([0, 0, 2]).num_scalars(3, 5) == 15
    some = WeightedSum((0, 0, 2), ((3, 1), (0, 2), (1, 0)))
    assert some.num_scalars(3, 5) == 6
    assert some.templates_of(1, 5) == (0, 2)
    assert every.templates_of(1, 5) == (0, 1, 2, 3, 4)
    for mixing in (every, some):
        layer = mixing.layer([1.0] * 3, 5, name="it")
        assert layer.name == "it"
        assert layer.coefficients.shape == (3, mixing.num_scalars(3, 5) // 3)
        np.testing.assert_array_equal(layer.ties, mixing.ties)
        assert layer.linear_variables() == [layer.coefficients]


def test_rows_that_part_start_as_copies_of_the_one_that_they_shared():
    layer = WeightedSumLayer([1.0] * 4, num_templates=4, ties=[0, 0, 0, 3])
    before = layer.coefficients.numpy()
    sources = layer.set_ties([0, 1, 1, 3])
    np.testing.assert_array_equal(sources[[0, 1, 3]], [0, 0, 3])
    rows = layer.coefficients.numpy()
    np.testing.assert_array_equal(rows[[0, 1, 3]], before[[0, 0, 3]])
