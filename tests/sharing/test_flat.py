"""SuperWeights that read flat stores, one by one and joined."""

import random

import numpy as np
import pytest

from keras_superweights.allocation import Allocation
from keras_superweights.allocation import BankSpec
from keras_superweights.allocation import SuperWeight
from keras_superweights.banks import KernelGenerator
from keras_superweights.parts import Average
from keras_superweights.parts import Embedded
from keras_superweights.parts import Flat
from keras_superweights.parts import WeightedSum
from keras_superweights.sharing.dealing import View
from keras_superweights.sharing.dealing import deal
from keras_superweights.sharing.flat import flat
from keras_superweights.sharing.flat import joined
from tests import builders


def allocation_of(sizes, store, superweights):
    return Allocation(
        members=(builders.member(*[(size, 1) for size in sizes]),),
        banks=(BankSpec("store", store),),
        superweights=tuple(superweights),
        budget_params=10**6,
    )


def users_of(views):
    """For each view, the kernels that read it."""
    users = {}
    for index, view in enumerate(views):
        users.setdefault(view, []).append(index)
    return users


def apart(users, single="wavg"):
    """One SuperWeight for each view."""
    return [
        flat(0, kernels, view, single if view.num_templates == 1 else "wavg")
        for view, kernels in users.items()
    ]


def num_mixed(superweight):
    return len(superweight.templates_of(0))


def kernels_of(allocation, store, weights):
    """All kernels, when each mixes its templates by given weights."""
    generator = KernelGenerator(allocation)
    generator.banks[0].store.assign(store)
    for superweight, mixture in zip(
        allocation.superweights, generator.mixtures, strict=True
    ):
        mixture.coefficients.assign(
            [weights[k][: num_mixed(superweight)] for k in superweight.kernels]
        )
    return generator.kernels_from(generator.superweights())


def test_joined_superweights_make_the_same_kernels_for_the_same_scalars():
    draw = random.Random(1)
    fewer = 0
    for _ in range(25):
        sizes = draw.choices([4, 4, 4, 6, 9], k=draw.randint(2, 9))
        store = draw.randint(max(sizes), 60)
        users = users_of(deal(sizes, store, draw.randint(1, 4)))
        together = joined(0, store, users, single="wavg")
        fewer += len(together) < len(users)
        allocations = [
            allocation_of(sizes, store, superweights)
            for superweights in (apart(users), together)
        ]
        params = [allocation.num_params for allocation in allocations]
        assert params[0] == params[1]
        values = np.random.randn(store)
        weights = np.random.randn(len(sizes), 4)
        one, other = (kernels_of(a, values, weights) for a in allocations)
        assert one.keys() == other.keys()
        for kernel in one:
            np.testing.assert_allclose(
                one[kernel], other[kernel], rtol=1e-5, atol=1e-6
            )
    assert fewer > 4


def test_scalars_are_read_once_where_sets_of_templates_overlap():
    # 5 kernels mix 4 of 10 rows each: 20 are read, or all 10 once.
    users = users_of(deal([8] * 5, store=80, most=4))
    (superweight,) = joined(0, 80, users)
    assert superweight.kernels == (0, 1, 2, 3, 4)
    assert superweight.num_templates == 10 and num_mixed(superweight) == 4


def test_what_does_not_overlap_or_is_sparse_stays_apart():
    for count, store in ((2, 80), (20, 400)):
        users = users_of(deal([8] * count, store, most=4))
        assert joined(0, store, users) == apart(users)


@pytest.mark.parametrize(
    ("name", "mixing"),
    [
        ("wavg", WeightedSum((0, 1))),
        ("emb", Embedded((0, 1))),
        ("avg", Average()),
    ],
)
def test_mixings_by_their_names(name, mixing):
    superweight = flat(3, [5, 2], View(8, 1, 4), name)
    assert superweight == SuperWeight(3, (5, 2), Flat(8), mixing, 4, first=1)
    one, many = View(16, 0, 1), View(8, 0, 2)
    found = joined(3, 16, {one: [0, 1], many: [2, 4]}, name)
    assert [each.mixing for each in found] == [Average(), mixing]
