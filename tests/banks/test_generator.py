"""Generated kernels against a NumPy assembly, point by point."""

import concurrent.futures
import math

import keras
import numpy as np
import pytest

from keras_superweights import parts
from keras_superweights.allocation import Allocation
from keras_superweights.allocation import BankSpec
from keras_superweights.allocation import SuperWeight
from keras_superweights.banks import KernelGenerator
from keras_superweights.sharing import MixtureEnsembles
from keras_superweights.sharing import SuperWeights
from tests import builders


def boxes(window, *boxes):
    return [(*window, *box) for box in boxes]


NESTED = builders.members(
    boxes((3, 3), (2, 2), (4, 4)), boxes((3, 3), (8, 8), (4, 8), (2, 2))
)
OVERLAPPING = builders.members(
    boxes((3,), (4, 16), (16, 4)), boxes((3,), (8, 8), (12, 12), (1, 3))
)
# Rectangles that no straight cut separates, besides (3, 5) and (5, 3).
INTERLOCKING = builders.members(
    boxes((1, 1), (1, 7), (7, 1), (3, 5)),
    boxes((1, 1), (5, 3), (6, 6), (7, 7), (2, 2)),
)
EQUAL = builders.members([(2, 4, 4)] * 4, [(2, 4, 4)] * 4)
DENSE = builders.members([(6, 4), (3, 8)], [(6, 8), (4, 4)])
WINDOWS = builders.members(
    [(3, 3, 2, 4), (1, 1, 4, 4), (2, 2, 2, 3, 4), (4, 3)], [(3, 3, 4, 4)]
)

ONE_BIN = SuperWeights(depth_bins=1)
CASES = {
    "nested": (ONE_BIN, NESTED, 4000),
    "overlapping": (ONE_BIN, OVERLAPPING, 2000),
    "interlocking": (ONE_BIN, INTERLOCKING, 300),
    "equal": (ONE_BIN, EQUAL, 300),
    "dense": (ONE_BIN, DENSE, 200),
    "windows": (ONE_BIN, WINDOWS, 900),
    "one template": (ONE_BIN, OVERLAPPING, 3 * 208 + 20),
    "tied": (SuperWeights(depth_bins=1, tied=True), OVERLAPPING, 2000),
    "depth": (SuperWeights(depth_bins=2), NESTED, 2500),
    "position": (SuperWeights(clusters="position"), NESTED, 3000),
    "plain kernel of all": (MixtureEnsembles(), EQUAL, 32),
    "mixture": (MixtureEnsembles(), EQUAL, 180),
    "round robin": (MixtureEnsembles(max_templates=2), EQUAL, 180),
    "disjoint": (
        MixtureEnsembles(max_templates=2, disjoint=True),
        EQUAL,
        420,
    ),
    "one store": (MixtureEnsembles(max_templates=3), NESTED, 640),
    "one store of dense": (MixtureEnsembles(), DENSE, 90),
}


def by_hand(size_of_bank, *superweights, **kwargs):
    """Allocations that no rule makes today but the format allows."""
    others = [BankSpec("other", 24)] * (len(superweights) - 1)
    return Allocation(
        tuple(builders.members([(2, 3, 4)] * 3)),
        (BankSpec("store", size_of_bank), *others),
        superweights,
        budget_params=1000,
        **kwargs,
    )


WHOLE = parts.Region((2,), ((0, 3, 0, 4),))
SIDES = parts.Region((2,), ((0, 3, 0, 1), (0, 3, 3, 4)))  # that do not touch
MIDDLE = parts.Region((2,), ((0, 3, 1, 3),))
UNTIED = parts.WeightedSum((0, 1, 2))
CHOICES = parts.WeightedSum((0, 1, 0), ((3, 1), (0, 2), (1, 0)))
ALL = (0, 1, 2)
BY_HAND = {
    "wraps": by_hand(50, SuperWeight(0, ALL, WHOLE, UNTIED, 2, first=1)),
    "rolls": by_hand(79, SuperWeight(0, ALL, WHOLE, UNTIED, 2, first=2)),
    "tied choices": by_hand(96, SuperWeight(0, (2, 0, 1), WHOLE, CHOICES, 4)),
    "regions apart": by_hand(
        24,
        SuperWeight(0, ALL, SIDES, parts.WeightedSum((0, 1, 1)), 2),
        SuperWeight(1, (2, 0, 1), MIDDLE, parts.Plain(), 1),
    ),
    "masked sums": by_hand(
        28,
        SuperWeight(0, (2, 0, 1), parts.Flat(7), CHOICES, 4),
        transforms=(parts.Mask(7, kernels=(1, 0, 2)),),
    ),
    "transforms of some": by_hand(
        60,
        SuperWeight(0, (2, 0), parts.Flat(10), parts.WeightedSum((0, 0)), 6),
        SuperWeight(1, (1,), WHOLE, parts.Plain(), 1),
        transforms=(
            parts.Bilinear(10, kernels=(0,)),
            parts.Repeat(10, kernels=(2,)),
        ),
    ),
}


@pytest.fixture(params=[*CASES, *BY_HAND])
def allocation(request):
    if request.param in BY_HAND:
        return BY_HAND[request.param]
    rule, members, budget = CASES[request.param]
    return rule.allocate(members, budget)


def test_kernels_equal_a_numpy_assembly(allocation):
    generator = KernelGenerator(allocation)
    kernels = builders.made(generator)
    assert sorted(kernels) == list(range(len(allocation.kernels)))
    for index, spec in enumerate(allocation.kernels):
        expected = builders.kernel_of(allocation, generator, index)
        assert kernels[index].shape == spec.shape
        np.testing.assert_allclose(kernels[index], expected, atol=1e-5)
        np.testing.assert_allclose(generator.kernel(index), expected, atol=1e-5)
    sizes = [math.prod(v.shape) for v in generator.trainable_variables]
    assert sum(sizes) == allocation.num_params
    banks = [tuple(bank.store.shape) for bank in generator.banks]
    assert banks == [(bank.size,) for bank in allocation.banks]


def test_kernels_in_use_are_those_of_the_innermost_scope():
    allocation = CASES["equal"][0].allocate(*CASES["equal"][1:])
    generator = KernelGenerator(allocation)
    own = generator.superweights()
    doubled = [2.0 * vectors for vectors in own]
    before = np.array(generator.kernel(1))
    assert not generator.is_in_use
    with generator.using(own):
        with generator.using(doubled):
            np.testing.assert_allclose(generator.kernel(1), 2 * before)
        np.testing.assert_allclose(generator.kernel(1), before)
        with pytest.raises(RuntimeError), generator.using(doubled):
            raise RuntimeError
        np.testing.assert_allclose(generator.kernel(1), before)
    assert not generator.is_in_use


def test_kernels_in_use_belong_to_the_thread():
    allocation = CASES["equal"][0].allocate(*CASES["equal"][1:])
    generator = KernelGenerator(allocation)
    with (
        generator.using(generator.superweights()),
        concurrent.futures.ThreadPoolExecutor() as threads,
    ):
        assert not threads.submit(lambda: generator.is_in_use).result()


def he_normal(shape):
    return math.sqrt(2.0 / math.prod(shape[:-1]))


WIDE_RESNETS = {
    "network": [builders.wide_resnet(0, 16, 4)],
    "ensemble": [builders.wide_resnet(m, 16, 4 // (m + 1)) for m in range(2)],
}


@pytest.mark.parametrize("members", WIDE_RESNETS.values(), ids=WIDE_RESNETS)
@pytest.mark.parametrize("fraction", [0.25, 0.5, 1.0, 2.0])
@pytest.mark.parametrize(
    "rule",
    [SuperWeights(), MixtureEnsembles()],
    ids=["SuperWeights", "MixtureEnsembles"],
)
def test_kernels_start_he_normal(rule, fraction, members):
    """Within 10 percent in every layer of WRN-16-4 at every budget."""
    budget = int(fraction * sum(member.num_params for member in members))
    least = builders.smallest_budget(rule, members)
    allocation = rule.allocate(members, max(budget, least))
    squares = np.zeros(len(allocation.kernels))
    for seed in range(3):  # the stem has but 432 scalars
        keras.utils.set_random_seed(seed)
        generator = KernelGenerator(allocation)
        kernels = builders.made(generator)
        for index, kernel in kernels.items():
            squares[index] += np.var(kernel) / 3
    generated = sorted(kernels)
    assert len(generated) >= len(allocation.kernels) // 2
    expected = [he_normal(allocation.kernels[k].shape) for k in generated]
    np.testing.assert_allclose(np.sqrt(squares[generated]), expected, rtol=0.1)


def test_tied_kernels_of_different_fan_in_share_one_scale_between_theirs():
    members = builders.members([(3, 3, 64, 32), (3, 3, 16, 32)])
    rule = SuperWeights(depth_bins=1, tied=True)
    allocation = rule.allocate(members, 3 * 9 * 64 * 32)
    generator = KernelGenerator(allocation)
    kernels = builders.made(generator)
    wide, narrow = np.array(kernels[0]), np.array(kernels[1])
    # Tied and nested: the narrow kernel is a part of the wide one.
    np.testing.assert_allclose(wide[:, :, :16], narrow, atol=1e-7)
    low, high = he_normal(wide.shape), he_normal(narrow.shape)
    assert 1.1 * low < narrow.std() < 0.9 * high


def test_templates_are_different_draws():
    rule = SuperWeights(depth_bins=1)
    generator = KernelGenerator(rule.allocate(EQUAL, 8 * 32 + 64))
    templates = np.array(generator.all_templates()[0])
    correlation = np.corrcoef(templates)
    assert np.abs(correlation[~np.eye(8, dtype=bool)]).max() < 0.7
    again = KernelGenerator(rule.allocate(EQUAL, 8 * 32 + 64))
    assert not np.allclose(again.banks[0].store, generator.banks[0].store)


def test_untied_kernels_start_apart():
    for rule in (SuperWeights(depth_bins=1), MixtureEnsembles()):
        allocation = rule.allocate(EQUAL, 160)
        assert allocation.superweights[0].num_templates > 1
        generator = KernelGenerator(allocation)
        kernels = builders.made(generator)
        flat = [np.array(kernel).ravel() for kernel in kernels.values()]
        for i, one in enumerate(flat):
            for other in flat[:i]:
                assert not np.allclose(one, other)
                assert not np.allclose(one, -other)
