import numpy as np
import pytest
import tensorflow as tf

from keras_superweights.banks import Mixture


def test_every_kernel_mixes_all_templates():
    mixture = Mixture(norms=[1.0, 2.0], num_templates=3, ties=[0, 1])
    templates = np.random.default_rng(0).normal(size=(3, 5)).astype("float32")
    np.testing.assert_allclose(
        mixture.mix(templates),
        np.array(mixture.coefficients) @ templates,
        rtol=1e-5,
    )


def test_tied_kernels_use_the_row_of_another():
    mixture = Mixture(norms=[1.0] * 4, num_templates=3, ties=[0, 1, 0, 1])
    rows = np.array(mixture.coefficients)
    np.testing.assert_allclose(mixture.matrix(), rows[[0, 1, 0, 1]])
    mixture.ties.assign([0, 1, 2, 1])
    np.testing.assert_allclose(mixture.matrix(), rows[[0, 1, 2, 1]])
    assert mixture.coefficients.shape == (4, 3)


def test_a_row_is_zero_where_its_kernel_does_not_choose():
    choices = ((3, 1), (0, 2), (1, 0))
    mixture = Mixture(
        [1.0] * 3, num_templates=4, ties=(0, 1, 2), choices=choices
    )
    rows = np.array(mixture.coefficients)
    expected = np.zeros((3, 4))
    for row, chosen in enumerate(choices):
        for place, template in enumerate(chosen):
            expected[row, template] = rows[row, place]
    np.testing.assert_allclose(mixture.matrix(), expected)


def test_gradients_of_tied_rows_add_up_and_unused_rows_get_none():
    mixture = Mixture(norms=[1.0] * 3, num_templates=2, ties=[0, 0, 2])
    templates = tf.constant([[1.0, 2.0], [3.0, 5.0]])
    weights = tf.constant([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(weights * mixture.mix(templates))
    gradient = tape.gradient(loss, mixture.coefficients.value)
    # Row 0 serves kernels 0 and 1: (1, 3) + (2, 5); row 2 its own: 2 (3, 8).
    np.testing.assert_allclose(gradient, [[3, 8], [0, 0], [6, 16]])


@pytest.mark.parametrize("num_templates", [4, 6])
def test_rows_start_orthogonal_where_there_are_no_more_than_templates(
    num_templates,
):
    norms = [1.0, 2.0, 0.5, 3.0]
    mixture = Mixture(norms, num_templates, ties=range(4))
    rows = np.array(mixture.coefficients)
    np.testing.assert_allclose(
        rows @ rows.T, np.diag(np.square(norms)), atol=1e-5
    )


def test_rows_that_mix_the_same_templates_start_orthogonal():
    choices = [(0, 1), (2, 3), (0, 1), (2, 3), (1, 2)]
    mixture = Mixture([1.0] * 5, 4, ties=range(5), choices=choices)
    rows = np.array(mixture.coefficients)
    for one, other in ((0, 2), (1, 3)):
        assert rows[one] @ rows[other] == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("num_templates", [1, 2, 3])
def test_rows_start_with_the_given_norms(num_templates):
    norms = [0.3, 1.0, 2.0, 0.7, 5.0]
    mixture = Mixture(norms, num_templates, ties=range(5))
    found = np.linalg.norm(np.array(mixture.coefficients), axis=1)
    np.testing.assert_allclose(found, norms, rtol=1e-5)


def test_ties_are_kept_but_not_trained():
    mixture = Mixture(norms=[1.0] * 2, num_templates=3, ties=[0, 0])
    assert len(mixture.trainable_variables) == 1
    assert len(mixture.non_trainable_variables) == 1
    assert mixture.ties.dtype == "int32"


def test_joining_rows_take_the_first_at_the_mean_square_of_the_norms():
    mixture = Mixture([3.0, 4.0, 5.0], num_templates=4, ties=[0, 1, 2])
    before = mixture.coefficients.numpy()
    mixture.set_ties([0, 0, 2])
    joined, alone = mixture.coefficients.numpy()[[0, 2]]
    mean = np.sqrt((3.0**2 + 4.0**2) / 2)
    np.testing.assert_allclose(joined, before[0] * mean / 3.0, rtol=1e-5)
    np.testing.assert_array_equal(alone, before[2])
    matrix = np.array(mixture.matrix())
    np.testing.assert_array_equal(matrix[0], matrix[1])
