"""Fits against closed forms, singular values and dense least squares."""

import itertools

import numpy as np
import pytest

from keras_superweights import banks
from keras_superweights.banks.fitting import fit_banks
from keras_superweights.sharing import HardSharing
from keras_superweights.sharing import MixtureEnsembles
from keras_superweights.sharing import Shapeshifter
from keras_superweights.sharing import SoftSharing
from keras_superweights.sharing import SuperWeights
from tests import builders

EQUAL = builders.member(*[(2, 3, 4)] * 6)
MIXED = builders.member(
    (3, 3, 2, 4), (3, 3, 4, 4), (4, 6), (6, 8), (3, 3, 4, 4)
)
NESTED = builders.member((3, 3, 2, 2), (3, 3, 4, 4), (3, 3, 3, 6), (3, 3, 4, 4))

TWO = builders.members(*[[(3, 3, 2, 2), (3, 3, 4, 4)]] * 2)


def given(allocation, seed=0):
    """Random kernels whose norms lie orders of magnitude apart."""
    draw = np.random.default_rng(seed)
    return {
        index: draw.normal(size=kernel.shape) * 10.0 ** draw.uniform(-2, 2)
        for index, kernel in enumerate(allocation.kernels)
        if allocation.composition[index]
    }


def relative_errors(generator, kernels):
    return {
        index: np.sum((kernels[index] - kernel) ** 2)
        / np.sum(kernels[index] ** 2)
        for index, kernel in builders.made(generator).items()
    }


def fitted(allocation, kernels):
    """`(generator, errors)`, the errors checked against the kernels made."""
    generator = banks.KernelGenerator(allocation)
    errors = fit_banks(generator, kernels)
    expected = relative_errors(generator, kernels)
    assert sorted(errors) == sorted(expected) == sorted(kernels)
    for index, error in errors.items():
        assert error == pytest.approx(expected[index], abs=1e-5)
    return generator, sum(errors.values())


@pytest.mark.parametrize(
    "allocation",
    [
        MixtureEnsembles(max_templates=8).allocate([EQUAL], 6 * 24 + 36),
        SuperWeights(depth_bins=1).allocate([NESTED], 3000),
        SuperWeights(clusters="position").allocate(TWO, 1600),
        Shapeshifter().allocate([MIXED], 3000),
        Shapeshifter("emb").allocate([MIXED], 3000),
        Shapeshifter(stores="shape").allocate([MIXED], 2000),
    ],
    ids=lambda allocation: allocation.sharing,
)
def test_where_there_is_room_kernels_are_met(allocation):
    kernels = given(allocation)
    generator, error = fitted(allocation, kernels)
    assert error < 1e-9
    for index, kernel in builders.made(generator).items():
        scale = np.abs(kernels[index]).max()
        np.testing.assert_allclose(kernel, kernels[index], atol=1e-4 * scale)


def test_one_kernel_for_several_is_their_mean_by_the_inverse_of_their_norms():
    member = builders.member((2, 3, 4), (2, 3, 4), (2, 3, 4))
    kernels = given(allocation := HardSharing().allocate([member], 30))
    generator, error = fitted(allocation, kernels)
    weights = {i: 1 / np.sum(k**2) for i, k in kernels.items()}
    mean = sum(weights[i] * k for i, k in kernels.items())
    mean /= sum(weights.values())
    store = np.array(generator.banks[0].store).reshape(mean.shape)
    np.testing.assert_allclose(store, mean, atol=1e-5 * np.abs(mean).max())


@pytest.mark.parametrize(
    ("rule", "templates"),
    [(MixtureEnsembles, 2), (SoftSharing, 3), (MixtureEnsembles, 5)],
)
def test_fewer_templates_than_kernels_leave_the_smallest_singular_values(
    rule, templates
):
    """Eckart and Young (1936), of kernels at their relative scale."""
    allocation = rule().allocate([EQUAL], templates * 24 + templates * 6)
    (superweight,) = allocation.superweights
    assert (
        superweight.num_templates
        == templates
        == len(superweight.templates_of(0))
    )
    kernels = given(allocation)
    rows = [k.ravel() / np.linalg.norm(k) for k in kernels.values()]
    values = np.linalg.svd(np.array(rows), compute_uv=False)
    _, error = fitted(allocation, kernels)
    assert error == pytest.approx(np.sum(values[templates:] ** 2), rel=1e-4)


def test_tied_kernels_are_fitted_as_the_one_that_they_are():
    """Their means, of which the largest singular values are left."""
    allocation = MixtureEnsembles().allocate([EQUAL], 24 * 2 + 6 * 2)
    allocation = allocation.with_ties([(0, 0, 2, 2, 4, 0)])
    kernels = given(allocation)
    means = []
    expected = 0
    for group in [(0, 1, 5), (2, 3), (4,)]:
        rows = np.array([kernels[i].ravel() for i in group])
        weights = 1 / np.sum(rows**2, axis=1)
        mean = weights @ rows / weights.sum()
        expected += weights @ np.sum((rows - mean) ** 2, axis=1)
        means.append(mean * np.sqrt(weights.sum()))
    expected += np.linalg.svd(means, compute_uv=False)[-1] ** 2
    generator, error = fitted(allocation, kernels)
    assert error == pytest.approx(expected, rel=1e-4)
    assert generator.allocation == allocation
    for one, other in [(0, 1), (1, 5), (2, 3)]:
        kernels = builders.made(generator)
        np.testing.assert_array_equal(kernels[one], kernels[other])


def weighted(arrays, kernels):
    return np.concatenate(
        [arrays[i].ravel() / np.linalg.norm(kernels[i]) for i in kernels]
    )


def least_error(generator, variables, kernels):
    """With all but these variables held: by NumPy, of the matrix written out.

    The matrix is made column by column; the variables end at 0.
    """
    for variable in variables:
        variable.assign(np.zeros(variable.shape))
    rest = weighted(builders.made(generator), kernels)
    columns = []
    for variable in variables:
        for index in np.ndindex(*variable.shape):
            unit = np.zeros(variable.shape)
            unit[index] = 1
            variable.assign(unit)
            columns.append(weighted(builders.made(generator), kernels) - rest)
        variable.assign(np.zeros(variable.shape))
    matrix = np.array(columns, "float64").T
    target = weighted(kernels, kernels) - rest
    best, *_ = np.linalg.lstsq(matrix, target, rcond=None)
    return np.sum((target - matrix @ best) ** 2)


CASES = {
    "mixtures": Shapeshifter().allocate([MIXED], 300),
    "masks": Shapeshifter().allocate([MIXED], 150),
    "nested": SuperWeights(depth_bins=1).allocate([NESTED], 420),
    "one store": MixtureEnsembles().allocate([NESTED], 250),
    "round robin": MixtureEnsembles(2).allocate([EQUAL], 24 * 3 + 12),
    "resized mixtures": Shapeshifter().allocate_pretraining([MIXED], 150),
}


@pytest.mark.parametrize("case", list(CASES))
def test_no_step_adds_to_the_error(case, monkeypatch):
    allocation = CASES[case]
    kernels = given(allocation)
    fresh = banks.KernelGenerator(allocation)
    errors = [sum(relative_errors(fresh, kernels).values())]
    solve = banks.fitting._Problem.solve

    def solve_and_record(problem):
        errors.append(solve(problem))
        return errors[-1]

    monkeypatch.setattr(banks.fitting._Problem, "solve", solve_and_record)
    _, error = fitted(allocation, kernels)
    assert len(errors) > 4
    assert all(
        later <= earlier * (1 + 1e-5)
        for earlier, later in itertools.pairwise(errors)
    )
    assert error == pytest.approx(errors[-1], rel=1e-4)
    assert error < len(kernels)  # which is what kernels of zeros have


@pytest.mark.parametrize(
    "allocation",
    [
        CASES["masks"],
        Shapeshifter("rr").allocate([MIXED], 120),
        Shapeshifter("emb").allocate([MIXED], 270),
        Shapeshifter("avg", upsampling="bilinear").allocate([MIXED], 120),
    ],
    ids=lambda allocation: allocation.sharing,
)
def test_none_of_the_variables_can_do_better_alone(allocation):
    """Than by dense least squares in NumPy, of the matrix written out."""
    kernels = given(allocation)
    generator, error = fitted(allocation, kernels)
    mixtures = filter(None, generator.mixtures)
    groups = [
        [bank.store for bank in generator.banks],
        [v for mixture in mixtures for v in mixture.linear_variables()],
        [t.masks for t in generator.transforms if hasattr(t, "masks")],
    ]
    assert groups[0] and all(groups) == (allocation is CASES["masks"])
    for variables in filter(None, groups):
        values = [np.array(variable) for variable in variables]
        least = least_error(generator, variables, kernels)
        assert least > 0.1  # not all can be met
        assert error == pytest.approx(least, rel=0.02)
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)


@pytest.mark.parametrize("scale", [0.0, 1e-25])
def test_a_kernel_next_to_zero_takes_nothing_from_others(scale):
    allocation = HardSharing(layers="early").allocate([EQUAL], 200)
    (superweight,) = allocation.superweights
    kernels = {
        index: np.full((2, 3, 4), 0.5 if index else scale)
        for index in superweight.kernels
    }
    generator = banks.KernelGenerator(allocation)
    errors = fit_banks(generator, kernels)
    fresh = 24 * allocation.kernels[0].variance  # its square at a fresh start
    weights = np.array([1 / fresh, 1 / 6, 1 / 6])
    value = weights @ [0, 0.5, 0.5] / weights.sum()
    np.testing.assert_allclose(generator.banks[0].store, value, rtol=1e-5)
    assert errors[0] == pytest.approx(24 * value**2 / fresh)


def test_embeddings_keep_their_values():
    allocation = Shapeshifter("emb").allocate([MIXED], 400)
    generator = banks.KernelGenerator(allocation)
    layers = [m for m in generator.mixtures if m.ties is not None]
    before = [np.array(v) for m in layers for v in m.trainable_variables]
    assert before
    fit_banks(generator, given(allocation))
    after = [np.array(v) for m in layers for v in m.trainable_variables]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)
