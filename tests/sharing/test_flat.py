"""SuperWeights that read flat stores, one by one and joined."""

import random

import pytest

from keras_superweights import parts
from keras_superweights.allocation import SuperWeight
from keras_superweights.sharing import dealing
from keras_superweights.sharing.flat import flat
from keras_superweights.sharing.flat import joined


def users_of(views):
    """For each view, the kernels that read it."""
    users = {}
    for index, view in enumerate(views):
        users.setdefault(view, []).append(index)
    return users


def apart(users):
    """One SuperWeight for each view."""
    return [flat(0, kernels, view) for view, kernels in users.items()]


def mixed_by(superweights, store):
    """For each kernel, where the templates that it mixes begin and end."""
    found = {}
    for each in superweights:
        rows = store // each.size
        for row, kernel in enumerate(each.kernels):
            first = [(each.first + t) % rows for t in each.templates_of(row)]
            found[kernel] = [
                (i * each.size, (i + 1) * each.size) for i in first
            ]
    return found


def num_scalars(superweights):
    return sum(
        each.mixing.num_scalars(len(each.kernels), each.num_templates)
        for each in superweights
    )


def test_joined_superweights_mix_the_same_templates_for_the_same_scalars():
    draw = random.Random(1)
    fewer = 0
    for _ in range(100):
        sizes = draw.choices([4, 4, 4, 6, 9], k=draw.randint(2, 9))
        store = draw.randint(max(sizes), 60)
        users = users_of(dealing.deal(sizes, store, draw.randint(1, 4)))
        together = joined(0, store, users, single="wavg")
        fewer += len(together) < len(users)
        assert mixed_by(together, store) == mixed_by(apart(users), store)
        assert num_scalars(together) == num_scalars(apart(users))
    assert fewer > 15


def test_scalars_are_read_once_where_sets_of_templates_overlap():
    # 5 kernels mix 4 of 10 rows each: 20 are read, or all 10 once.
    users = users_of(dealing.deal([8] * 5, store=80, most=4))
    (superweight,) = joined(0, 80, users)
    assert superweight.kernels == (0, 1, 2, 3, 4)
    assert superweight.num_templates == 10
    assert len(superweight.templates_of(0)) == 4


def test_what_does_not_overlap_or_is_sparse_stays_apart():
    for count, store in ((2, 80), (20, 400)):
        users = users_of(dealing.deal([8] * count, store, most=4))
        assert joined(0, store, users) == apart(users)


@pytest.mark.parametrize(
    ("name", "mixing"),
    [
        ("wavg", parts.WeightedSum((0, 1))),
        ("emb", parts.Embedded((0, 1))),
        ("avg", parts.Average()),
    ],
)
def test_mixings_by_their_names(name, mixing):
    superweight = flat(3, [5, 2], dealing.View(8, 1, 4), name)
    assert superweight == SuperWeight(
        3, (5, 2), parts.Flat(8), mixing, 4, first=1
    )
    one, many = dealing.View(16, 0, 1), dealing.View(8, 0, 2)
    found = joined(3, 16, {one: [0, 1], many: [2, 4]}, name)
    assert [each.mixing for each in found] == [parts.Average(), mixing]
