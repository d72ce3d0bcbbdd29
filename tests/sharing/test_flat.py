"""SuperWeights that read flat stores, one by one and joined."""

import random

import numpy as np

from keras_superweights.allocation import Allocation
from keras_superweights.allocation import KernelSpec
from keras_superweights.allocation import MemberSpec
from keras_superweights.allocation.superweight import BankSpec
from keras_superweights.banks import KernelGenerator
from keras_superweights.sharing.dealing import deal
from keras_superweights.sharing.flat import flat
from keras_superweights.sharing.flat import joined


def allocation_of(sizes, store, superweights):
    kernels = tuple(
        KernelSpec(0, f"layer_{i}", (size, 1)) for i, size in enumerate(sizes)
    )
    return Allocation(
        members=(MemberSpec("net", kernels, 0),),
        banks=(BankSpec("store", store),),
        superweights=tuple(superweights),
        budget_params=10**6,
    )


def random_superweights(draw):
    """Sizes of kernels, a store, and one SuperWeight a set of templates."""
    sizes = draw.choices([4, 4, 4, 6, 9], k=draw.randint(2, 9))
    store = draw.randint(max(sizes), 60)
    users = {}
    views = deal(sizes, store, draw.randint(1, 4))
    for index, view in enumerate(views):
        users.setdefault(view, []).append(index)
    return sizes, store, [flat(0, ks, view) for view, ks in users.items()]


def kernels_of(allocation, store, weights):
    """All kernels, when each mixes its templates by given weights."""
    generator = KernelGenerator(allocation)
    generator.banks[0].store.assign(store)
    for piece, mixture in zip(
        allocation.superweights, generator.mixtures, strict=True
    ):
        mixture.coefficients.assign(
            [weights[k][: piece.num_mixed] for k in piece.kernels]
        )
    return generator.kernels_from(generator.superweights())


def test_joined_superweights_make_the_same_kernels_for_the_same_scalars():
    draw = random.Random(1)
    fewer = 0
    for _ in range(60):
        sizes, store, apart = random_superweights(draw)
        together = joined(apart, store)
        fewer += len(together) < len(apart)
        allocations = [
            allocation_of(sizes, store, pieces) for pieces in (apart, together)
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
    assert fewer > 10


def test_scalars_are_read_once_where_sets_of_templates_overlap():
    # 5 kernels mix 4 of 10 rows each: 20 are read, or all 10 once.
    views = deal([8] * 5, store=80, most=4)
    (piece,) = joined([flat(0, [i], v) for i, v in enumerate(views)], 80)
    assert piece.kernels == (0, 1, 2, 3, 4)
    assert piece.num_templates == 10 and piece.num_mixed == 4


def test_what_does_not_overlap_or_is_sparse_stays_apart():
    for count, store in ((2, 80), (20, 400)):
        views = deal([8] * count, store, most=4)
        apart = [flat(0, [i], v) for i, v in enumerate(dict.fromkeys(views))]
        assert joined(apart, store) == apart
