import dataclasses
import json
import re

import numpy as np
import pytest

from keras_superweights import parts
from keras_superweights.allocation import Allocation
from keras_superweights.allocation import BankSpec
from keras_superweights.allocation import KernelSpec
from keras_superweights.allocation import MemberSpec
from keras_superweights.allocation import SuperWeight
from tests import builders

# Two members; "a" and "b" share, "b" has a part of its own, "c" is private.
MEMBERS = (
    MemberSpec(
        "first",
        (KernelSpec(0, "a", (3, 2, 4)), KernelSpec(0, "c", (2, 2))),
        other_params=7,
    ),
    MemberSpec("second", (KernelSpec(1, "b", (3, 4, 4)),), other_params=5),
)
INNER = SuperWeight(
    bank=0,
    kernels=(0, 2),
    geometry=parts.Region((3,), ((0, 2, 0, 4),)),
    mixing=parts.WeightedSum((0, 1)),
    num_templates=2,
)
OUTER = SuperWeight(
    bank=1,
    kernels=(2,),
    geometry=parts.Region((3,), ((2, 4, 0, 4),)),
    mixing=parts.Plain(),
    num_templates=1,
)
GOOD = Allocation(
    members=MEMBERS,
    banks=(BankSpec("inner", 48), BankSpec("outer", 24)),
    superweights=(INNER, OUTER),
    budget_params=100,
    sharing="by hand",
    note="A note.",
)
# The same kernels, "b" of 48 scalars a masked template of 20.
MASKED = Allocation(
    members=MEMBERS,
    banks=(BankSpec("store", 24),),
    superweights=(
        SuperWeight(0, (0,), parts.Flat(24), parts.Plain(), num_templates=1),
        SuperWeight(0, (2,), parts.Flat(20), parts.Plain(), num_templates=1),
    ),
    budget_params=100,
    transforms=(parts.Mask(20, kernels=(2,)),),
)


def test_the_parameters_are_counted_by_hand():
    # Banks 48 + 24, coefficients 2 kernels x 2, kernel c 4, rest 7 + 5.
    assert GOOD.num_coefficients == 4
    assert GOOD.num_params == 48 + 24 + 4 + 4 + 7 + 5
    assert GOOD.independent_params == (24 + 4 + 7) + (48 + 5)
    assert GOOD.private_kernels == (1,)
    assert GOOD.composition == (((0, 0),), (), ((0, 1), (1, 0)))
    assert GOOD.num_transform_scalars == 0
    # Two further copies of the template, whose masks have 9 scalars each.
    assert MASKED.num_coefficients == 0
    assert MASKED.num_transform_scalars == 18
    assert MASKED.num_params == 24 + 18 + 4 + 7 + 5
    assert MASKED.transforms_of == ((), (), MASKED.transforms)


def test_the_table_adds_up_to_its_total():
    text = str(GOOD)
    assert text.splitlines()[0] == "by hand"
    assert text.splitlines()[-1] == "A note."
    assert "92 trainable scalars of a budget of 100 (92.0% used)" in text
    *rows, total = [
        line for line in text.splitlines()[3:] if re.match(r"\S.*  \S", line)
    ]
    assert total.split() == ["total", "88", "4"]
    assert sum(int(row.split()[-1]) for row in rows if "alone" in row) == 4
    assert re.search(r"^inner +2 +2 +48 +4$", text, re.MULTILINE)
    assert re.search(r"^outer +1 +1 +24 +0$", text, re.MULTILINE)
    assert re.search(r"^masks +1 +18$", str(MASKED), re.MULTILINE)
    assert re.search(r"^total +58 +0$", str(MASKED), re.MULTILINE)


def test_an_allocation_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        GOOD.budget_params = 1


def change(data, path, value):
    """Sets the entry of a path such as `"banks.1"`; deletes it for `...`."""
    *parents, last = [int(n) if n.isdigit() else n for n in path.split(".")]
    for key in parents:
        data = data[key]
    if value is ...:
        del data[last]
    else:
        data[last] = value


OVERLAP = [[0, 2, 0, 2], [0, 2, 0, 2]]  # as many points as [0, 2, 0, 4]
FIRST = "superweights.0."
RECTANGLES = "superweights.0.geometry.rectangles"
TIES = "superweights.0.mixing.ties"
CHOICES = "superweights.0.mixing.choices"
SHAPE = "members.1.kernels.0.shape"
DAMAGES = [
    ("members", ..., "members"),
    ("members", [], "indices of kernels"),
    ("members", None, "`members` must be of type.*Received: members=None"),
    ("members", {}, "members={}"),
    ("members.0.name", 3, "`name` must be of type.*name=3"),
    ("members.0.kernels", "ab", "`kernels` must be of type.*kernels='ab'"),
    ("members.0.kernels.1", ..., "indices of kernels"),
    ("members.0.kernels.0.fan_in", -1, "`fan_in` must be a positive integer"),
    ("members.0.other_params", True, "`other_params` must be of type"),
    ("sharing", None, "sharing=None"),
    ("banks", ..., "banks"),
    ("banks.1", ..., "index of a bank"),
    ("banks.0.size", 47, "lie in its bank"),
    ("banks.1.size", -24, "bank 'outer'"),
    ("banks.0.size", 193, "of 193 scalars, of which they read 96"),
    ("banks.0.size", "48", "size"),
    ("banks.0.size", 48.5, "size"),
    ("extra", 1, "extra"),
    ("banks.0.extra", 1, "extra"),
    ("superweights.1", ..., "'outer'"),
    (FIRST + "bank", 2, "index of a bank"),
    (FIRST + "bank", -1, "index of a bank"),
    (FIRST + "kernels", [0, 3], "indices of kernels"),
    (FIRST + "kernels", [2, 2], "distinct indices"),
    (FIRST + "num_templates", 0, "positive integer"),
    (FIRST + "num_templates", 3, "lie in its bank"),
    (FIRST + "first", 2, "lie in its bank"),
    (FIRST + "first", -1, "lie in its bank"),
    (FIRST + "first", 0.5, "first=0.5"),
    (FIRST + "first", False, "first=False"),
    (FIRST + "num_templates", True, "num_templates=True"),
    (FIRST + "bank", None, "bank=None"),
    (FIRST + "geometry", ..., "geometry"),
    (FIRST + "geometry.window", [5], "SuperWeight 0"),
    (FIRST + "geometry.window", [0], "`window` must have sides of at least 1"),
    (FIRST + "geometry.window", [False], "`window` must be of type"),
    ("superweights.1.kernels", [1], "window"),
    (RECTANGLES, OVERLAP, "must make up"),
    (RECTANGLES, [[-1, 1, 0, 4]], "must make up"),
    (RECTANGLES, [[0, 2, 0]], "`rectangles`.*four integers"),
    (RECTANGLES, [], "at least one rectangle"),
    (RECTANGLES, [[0, 2.0, 0, 4]], "`rectangles`.*four integers"),
    (TIES, [0], "SuperWeight 0, `ties`"),
    (CHOICES, [[0], [2]], "SuperWeight 0, `choices`"),
    (CHOICES, [[0.0], [1]], r"`choices` must be of type.*\(\(0.0,\)"),
    (CHOICES, [[True], [0]], r"`choices` must be of type.*\(\(True,\)"),
    (CHOICES, [[0]] * 10**5, "as many templates for each kernel"),
    (TIES, [0] * 10**5, r"ties=\(0, 0, .*\.\.\. for 2 kernels"),
    ("budget_params", 91, "more than its budget of 91"),
    ("budget_params", "100", "budget_params"),
    ("budget_params", float("nan"), "budget_params"),
    (SHAPE, [3], "shape"),
    (SHAPE, "abc", "Error"),
    (SHAPE, [3, 4, 5], "kernel 2"),
    (SHAPE, [3, 4.0, 4], r"`shape` must be of type.*\(3, 4.0, 4\)"),
    ("superweights", [], "'inner'"),
    ("superweights", "", "superweights=''"),
    ("members.1.kernels.0.member", 0, "member"),
    ("members.1.other_params", -50, "other_params"),
]


def test_a_bank_that_nobody_reads_is_refused():
    banks = (*GOOD.banks, BankSpec("x", 1))
    with pytest.raises(ValueError, match="'x'"):
        dataclasses.replace(GOOD, banks=banks)


DAMAGES_OF_MASKED = [
    ("format", ..., r"no format number.*version 0\.1\.0"),
    ("format", 0, r"version 0\.1\.0"),
    ("format", 2, "from 1 to 1.*Received: format 2. Use a newer"),
    ("format", "1", "Received: format '1'"),
    ("format", None, "Received: format None"),
    ("format", True, "Received: format True"),
    ("format", False, "Received: format False"),
    ("transforms.0.class", "Fold", "must name a transform.*'Fold'"),
    ("transforms.0.class", "Flat", "must name a transform.*'Flat'"),
    ("transforms.0.length", 20.0, "length=20.0"),
    ("transforms.0.extra", 1, "extra"),
    ("transforms", [], "must make up its shape"),
    ("superweights.0.geometry.class", "Round", "must name a geometry"),
    ("superweights.0.mixing.class", "Sum", "must name a mixing"),
    ("superweights.0.mixing", {}, "class"),
]


@pytest.mark.parametrize(
    ("good", "path", "value", "message"),
    [
        *((GOOD, *damage) for damage in DAMAGES),
        *((MASKED, *damage) for damage in DAMAGES_OF_MASKED),
    ],
    ids=lambda value: "" if isinstance(value, Allocation) else None,
)
def test_damage_is_refused_by_a_message_that_says_where(
    good, path, value, message
):
    data = json.loads(good.to_json())
    assert data["format"] == 1
    change(data, path, value)
    with pytest.raises(ValueError, match=message) as error:
        Allocation.from_json(json.dumps(data))
    assert len(str(error.value)) < 1000  # however long what it refuses is


NO_ALLOCATIONS = {
    "empty": "",
    "brace": "{",
    "list": "[]",
    "null": "null",
    "number": "3",
    "text": '"text"',
    "cut off": GOOD.to_json()[:-2],
    "deep": "[" * 10**5,
    "deep inside": GOOD.to_json().replace("[3]", "[" * 900 + "]" * 900),
    "a long number": GOOD.to_json().replace("100", "1" * 5000),
}


@pytest.mark.parametrize("text", NO_ALLOCATIONS.values(), ids=NO_ALLOCATIONS)
def test_text_that_is_no_allocation_is_refused(text):
    with pytest.raises(ValueError, match="not an allocation"):
        Allocation.from_json(text)


def test_what_is_no_text_is_no_allocation():
    with pytest.raises(TypeError, match="`text` must be text.*text={}"):
        Allocation.from_json({})


def test_what_reading_allocates_is_bounded_by_the_text():
    templates = 10**12
    bank = BankSpec("inner", 24 * templates)
    inner = dataclasses.replace(INNER, num_templates=templates)
    allocation = dataclasses.replace(
        GOOD,
        banks=(bank, GOOD.banks[1]),
        superweights=(inner, OUTER),
        budget_params=10**14,
    )
    assert Allocation.from_json(allocation.to_json()) == allocation
    assert allocation.num_coefficients == 2 * templates


def test_numbers_of_numpy_are_written_as_plain_ones():
    bank = BankSpec("inner", np.int64(48))
    allocation = dataclasses.replace(GOOD, banks=(bank, GOOD.banks[1]))
    assert allocation.to_json() == GOOD.to_json()


def test_ties_are_changed_one_tuple_per_superweight():
    tied = GOOD.with_ties([(0, 0), ()])
    assert [each.ties for each in tied.superweights] == [(0, 0), ()]
    assert tied.num_params == GOOD.num_params
    assert tied.with_ties([(0, 1), ()]) == GOOD
    assert GOOD.with_ties([(0, 1), ()]) is GOOD
    for ties, message in (
        ([(0, 0)], "each of the 2 SuperWeights. Received: 1"),
        ([(1, 0), ()], "SuperWeight 0, `ties`"),
        ([(0, 0), (0,)], "Plain has no coefficients to tie"),
    ):
        with pytest.raises(ValueError, match=message):
            GOOD.with_ties(ties)


def test_clusters_are_kernels_that_share_directly_or_by_a_third():
    assert GOOD.clusters == MASKED.clusters == ((0, 2),)
    members = builders.members([(2, 2)] * 3, [(2, 2)] * 3)
    plain = [
        SuperWeight(
            bank, kernels, parts.Flat(4), parts.Plain(), num_templates=1
        )
        for bank, kernels in enumerate([(4,), (0, 2)])
    ]
    banks = [BankSpec("one", 4), BankSpec("two", 4)]
    allocation = Allocation(tuple(members), tuple(banks), tuple(plain), 100)
    assert allocation.clusters == ((0, 2), (4,))
    assert allocation.private_kernels == (1, 3, 5)
