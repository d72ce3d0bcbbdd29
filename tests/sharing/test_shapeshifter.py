import math
import random

import numpy as np
import pytest

from keras_superweights import parts
from keras_superweights.banks import KernelGenerator
from keras_superweights.sharing import Shapeshifter
from tests import builders
from tests.builders import smallest_budget

MIXINGS = ("wavg", "emb", "rr", "avg")
UPSAMPLINGS = {
    "mask": parts.Mask,
    "repeat": parts.Repeat,
    "bilinear": parts.Bilinear,
}


def random_member(draw):
    shapes = [
        draw.choice(
            [
                (3, 3, draw.randint(1, 9), draw.randint(1, 9)),
                (3, draw.randint(1, 6), draw.randint(1, 20)),
                (draw.randint(1, 20), draw.randint(1, 20)),
            ]
        )
        for _ in range(draw.randint(1, 8))
    ]
    return builders.member(*shapes, other_params=draw.randint(0, 30))


@pytest.mark.parametrize("mixing", MIXINGS)
@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
def test_kernels_are_those_of_the_papers_formulas(mixing, upsampling):
    """NPAS, sections 3.1 to 3.3 and B.

    Means are so up to a factor: the paper leaves a kernel's scale to batch
    normalization.
    """
    draw = random.Random(mixing + upsampling)
    upsampled = []
    for _ in range(12):
        member = random_member(draw)
        rule = Shapeshifter(mixing, draw.randint(1, 6), upsampling)
        least = smallest_budget(rule, [member])
        budget = draw.randint(least, 3 * max(least, member.num_params))
        allocation = rule.allocate([member], budget)
        for transform in allocation.transforms:
            assert type(transform) is UPSAMPLINGS[upsampling]
        upsampled += map(bool, allocation.transforms_of)
        generator = KernelGenerator(allocation)
        for mixture in filter(None, generator.mixtures):
            for variable in mixture.trainable_variables:
                variable.assign(
                    np.random.default_rng(0).normal(size=variable.shape)
                )
        scalars = sum(math.prod(v.shape) for v in generator.trainable_variables)
        assert scalars + member.other_params == allocation.num_params
        kernels = builders.made(generator)
        for index, kernel in enumerate(allocation.kernels):
            assert kernels[index].shape == kernel.shape
            found = np.array(kernels[index], "float64")
            expected = builders.kernel_of(allocation, generator, index)
            factor = np.linalg.norm(found) / np.linalg.norm(expected)
            ((number, _),) = allocation.composition[index]
            superweight = allocation.superweights[number]
            if isinstance(superweight.mixing, parts.WeightedSum):
                assert factor == pytest.approx(1, rel=1e-4)
            np.testing.assert_allclose(
                found, factor * expected, rtol=1e-3, atol=1e-5
            )
            np.testing.assert_allclose(
                generator.kernel(index), found, rtol=1e-3, atol=1e-5
            )
    assert set(upsampled) == {True, False}


@pytest.mark.parametrize("mixing", MIXINGS)
@pytest.mark.parametrize("budget", [0.02, 0.3, 1.0, 4.0])
def test_real_networks_use_what_they_may(mixing, budget):
    shapes = [(3, 3, 16, 160), *[(3, 3, 160, 160)] * 7, (3, 3, 160, 320)]
    member = builders.member(
        *shapes, *[(3, 3, 320, 320)] * 7, other_params=9000
    )
    scalars = int(budget * member.num_params)
    allocation = Shapeshifter(mixing).allocate([member], scalars)
    # Kernels with one template each read no more than their own sizes.
    usable = scalars
    if mixing == "rr":
        usable = 0.94 * min(scalars, member.num_params)
    assert 0.95 * usable < allocation.num_params <= scalars


@pytest.mark.parametrize("size", [59, 60, 61, 119, 120, 121, 179, 180, 181])
def test_stores_one_scalar_apart(size):
    """Around one, two and three kernels of 60 scalars."""
    member = builders.member((3, 4, 5), (60, 1))
    rule = Shapeshifter("avg", max_templates=2, upsampling="repeat")
    allocation = rule.allocate([member], size)
    superweight = allocation.superweights[0]
    assert superweight.num_templates == min(2, max(1, size // 60))
    assert superweight.geometry == parts.Flat(min(size, 60))
    repeated = parts.Repeat(size, kernels=(0, 1))
    assert allocation.transforms == ((repeated,) if size < 60 else ())


@pytest.mark.parametrize(
    ("mixing", "shapes", "budget", "expected"),
    [
        # The same templates; then, some of ten, which overlap.
        ("wavg", [(8, 72), (24, 24), (3, 3, 64, 1)], 2000, [(0, 1, 2), (3,)]),
        ("wavg", [(24, 24)] * 5, 10 * 576 + 600, [(0, 1, 2, 3, 4), (5,)]),
        ("emb", [(24, 24)] * 3, 10 * 576, [(0,), (1,), (2,), (3,)]),
    ],
)
def test_kernels_that_mix_templates_in_common_are_one_product(
    mixing, shapes, budget, expected
):
    rule = Shapeshifter(mixing, max_templates=4)
    allocation = rule.allocate([builders.member(*shapes, (7, 7))], budget)
    assert [s.kernels for s in allocation.superweights] == expected


def test_kernels_start_with_the_variance_of_their_layer():
    shapes = [(3, 3, 16, 64), (3, 3, 64, 64), (1, 1, 64, 256), (400, 100)]
    member = builders.member(*shapes)
    for mixing in MIXINGS:
        for budget, upsampling in (
            (0.1, "mask"),
            (0.1, "bilinear"),
            (2, "mask"),
            (0.5, None),  # the store to learn from, interpolated for all
        ):
            scalars = int(budget * member.num_params)
            rule = Shapeshifter(mixing, upsampling=upsampling or "mask")
            make = rule.allocate if upsampling else rule.allocate_pretraining
            allocation = make([member], scalars)
            generator = KernelGenerator(allocation)
            kernels = builders.made(generator)
            for index, kernel in enumerate(allocation.kernels):
                assert np.var(kernels[index]) == pytest.approx(
                    2 / math.prod(kernel.shape[:-1]), rel=0.25
                )


def test_which_kernels_share_a_store():
    member = builders.member((3, 3, 4, 4), (4, 4), (3, 3, 4, 4), (8, 4), (4, 4))

    def stores(rule):
        groups = {}
        for each in rule.allocate([member], member.num_params).superweights:
            groups.setdefault(each.bank, []).extend(each.kernels)
        return sorted(sorted(group) for group in groups.values())

    assert stores(Shapeshifter()) == [[0, 1, 2, 3, 4]]
    assert stores(Shapeshifter(stores="shape")) == [[0, 2], [1, 4], [3]]
    assert stores(Shapeshifter(stores=("l[02]", "*"))) == [[0, 2], [1, 3, 4]]
    assert stores(Shapeshifter(stores=[5, 1, 1, 5, 2])) == [[0, 3], [1, 2], [4]]
    random_ones = [
        stores(Shapeshifter(stores="random", num_stores=3, seed=seed))
        for seed in range(6)
    ]
    assert all(sorted(sum(groups, [])) == [*range(5)] for groups in random_ones)
    assert len(set(map(str, random_ones))) > 1
    assert random_ones[1] == stores(
        Shapeshifter(stores="random", num_stores=3, seed=1)
    )


def test_stores_get_the_share_that_their_kernels_have():
    member = builders.member((30, 30), (30, 30), (10, 60), (60, 10))
    rule = Shapeshifter("avg", max_templates=1, stores=("l[01]", "*"))
    # With one template a kernel, stores of 1800 and 1200 could be read whole.
    allocation = rule.allocate([member], 1500)
    assert [bank.size for bank in allocation.banks] == [900, 600]


def test_pretraining_mixes_four_templates_resized_to_each_layer():
    member = builders.member((3, 3, 4, 4), (4, 4), (3, 3, 4, 4), other_params=7)
    rule = Shapeshifter()
    allocation = rule.allocate_pretraining([member], 300)
    (bank,) = allocation.banks
    # 300 - 7 - 3 x 4 coefficients, in four equal templates.
    assert bank.size == 280
    (superweight,) = allocation.superweights
    assert superweight.kernels == (0, 1, 2)
    assert (superweight.num_templates, superweight.size) == (4, 70)
    assert allocation.transforms == (parts.Bilinear(70, kernels=(0, 1, 2)),)
    assert allocation.num_params <= 300
    with pytest.raises(ValueError, match="works is 23"):
        rule.allocate_pretraining([member], 22)


def test_a_mapping_that_does_not_fit_is_refused():
    member = builders.member((3, 4), (4, 4))
    with pytest.raises(ValueError, match="3 numbers for 2 kernels"):
        Shapeshifter(stores=(0, 1, 1)).allocate([member], 28)
    with pytest.raises(ValueError, match="'l1'. End with"):
        Shapeshifter(stores=("l0",)).allocate([member], 28)
    with pytest.raises(ValueError, match=r"\['z\*'\] are of no layer"):
        Shapeshifter(stores=("l0", "z*", "*")).allocate([member], 28)


def test_a_budget_that_is_too_small_says_what_it_is_needed_for():
    member = builders.member((3, 3, 4, 4), (5, 5), other_params=60)
    least = smallest_budget(Shapeshifter(), [member])
    with pytest.raises(ValueError) as error:
        Shapeshifter().allocate([member], 50)
    assert "they keep 60 to themselves" in str(error.value)
    assert f"{least / 229:.1%} of the 229" in str(error.value)
    assert 'upsampling="repeat"' in str(error.value)
    repeating = Shapeshifter(upsampling="repeat")
    assert smallest_budget(repeating, [member]) < least
