import dataclasses
import json
import re

import pytest

from keras_superweights.allocation import Allocation
from keras_superweights.allocation import BankSpec
from keras_superweights.allocation import KernelSpec
from keras_superweights.allocation import MemberSpec
from keras_superweights.allocation import SuperWeight
from keras_superweights.allocation.regions import Rectangle
from keras_superweights.sharing import MixtureEnsembles
from keras_superweights.sharing import SuperWeights

# Two members; "a" and "b" share, "b" has a piece of its own, "c" is private.
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
    window=(3,),
    region=(Rectangle(0, 2, 0, 4),),
    kernels=(0, 2),
    num_templates=2,
    ties=(0, 1),
)
OUTER = SuperWeight(
    bank=1,
    window=(3,),
    region=(Rectangle(2, 4, 0, 4),),
    kernels=(2,),
    num_templates=1,
    ties=(),
)
GOOD = Allocation(
    members=MEMBERS,
    banks=(BankSpec("inner", 48), BankSpec("outer", 24)),
    superweights=(INNER, OUTER),
    budget_params=100,
    sharing="by hand",
    note="A note.",
)


def test_the_parameters_are_counted_by_hand():
    # Banks 48 + 24, coefficients 2 kernels x 2, kernel c 4, rest 7 + 5.
    assert GOOD.num_coefficients == 4
    assert GOOD.num_params == 48 + 24 + 4 + 4 + 7 + 5
    assert GOOD.independent_params == (24 + 4 + 7) + (48 + 5)
    assert GOOD.private_kernels == (1,)
    assert GOOD.composition == (((0, 0),), (), ((0, 1), (1, 0)))


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


@pytest.mark.parametrize(
    "sharing",
    [
        SuperWeights(tied=True),
        SuperWeights(clusters="position"),
        MixtureEnsembles(),
        MixtureEnsembles(disjoint=True),
    ],
    ids=str,
)
@pytest.mark.parametrize("budget", [4400, 6000, 20000])
def test_json_gives_the_same_allocation_back(sharing, budget):
    shapes = [(3, 3, 3, 8), *[(3, 3, 8, 8)] * 6, (8, 16), (16, 16), (16, 16)]
    members = [
        MemberSpec(
            f"m{m}",
            tuple(
                KernelSpec(m, f"l{i}", s) for i, s in enumerate(shapes[: 8 + m])
            ),
            other_params=11,
        )
        for m in range(3)
    ]
    allocation = sharing.allocate(members, budget)
    again = Allocation.from_json(allocation.to_json())
    assert again == allocation
    assert hash(again) == hash(allocation)
    assert str(again) == str(allocation)
    json.loads(allocation.to_json(), parse_constant=pytest.fail)


def test_an_allocation_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        GOOD.budget_params = 1


def change(path, value):
    """A damage: sets, or with `...` deletes, one entry of the JSON."""

    def damage(data):
        *parents, last = path
        for key in parents:
            data = data[key]
        if value is ...:
            del data[last]
        else:
            data[last] = value

    return damage


OVERLAP = [[0, 2, 0, 2], [0, 2, 0, 2]]  # as many points as [0, 2, 0, 4]
DAMAGES = {
    "no members": (change(["members"], ...), "members"),
    "members empty": (change(["members"], []), "indices of kernels"),
    "members null": (change(["members"], None), "NoneType"),
    "no banks": (change(["banks"], ...), "banks"),
    "bank gone": (change(["banks", 1], ...), "index of a bank"),
    "bank too small": (change(["banks", 0, "size"], 47), "lie in its bank"),
    "bank negative": (change(["banks", 1, "size"], -24), "bank 'outer'"),
    "bank size is text": (change(["banks", 0, "size"], "48"), "size"),
    "bank size is a float": (change(["banks", 0, "size"], 48.5), "size"),
    "bank nobody reads": (
        lambda d: d["banks"].append({"name": "x", "size": 1}),
        "'x'",
    ),
    "unknown key": (change(["extra"], 1), "extra"),
    "unknown key of a bank": (change(["banks", 0, "extra"], 1), "extra"),
    "superweight gone": (change(["superweights", 1], ...), "'outer'"),
    "bank index": (change(["superweights", 0, "bank"], 2), "index of a bank"),
    "bank index negative": (
        change(["superweights", 0, "bank"], -1),
        "index of a bank",
    ),
    "kernel not there": (
        change(["superweights", 0, "kernels"], [0, 3]),
        "indices of kernels",
    ),
    "kernel twice": (
        change(["superweights", 0, "kernels"], [2, 2]),
        "distinct indices",
    ),
    "window": (change(["superweights", 0, "window"], [5]), "SuperWeight 0"),
    "other window": (change(["superweights", 1, "kernels"], [1]), "window"),
    "region too small": (
        change(["superweights", 0, "region"], [[0, 1, 0, 4]]),
        "must tile",
    ),
    "region overlaps": (
        change(["superweights", 0, "region"], OVERLAP),
        "must tile",
    ),
    "regions of two pieces overlap": (
        change(["superweights", 1, "region"], [[1, 3, 0, 4]]),
        "must tile",
    ),
    "region outside": (
        change(["superweights", 0, "region"], [[-1, 1, 0, 4]]),
        "must tile",
    ),
    "region of three": (
        change(["superweights", 0, "region"], [[0, 2, 0]]),
        "Rectangle",
    ),
    "no templates": (
        change(["superweights", 0, "num_templates"], 0),
        "positive integer",
    ),
    "too many templates": (
        change(["superweights", 0, "num_templates"], 3),
        "lie in its bank",
    ),
    "ties too few": (change(["superweights", 0, "ties"], [0]), "`ties`"),
    "tie not there": (change(["superweights", 0, "ties"], [0, 2]), "`ties`"),
    "tie to a tied row": (
        change(["superweights", 0, "ties"], [1, 0]),
        "a row that uses itself",
    ),
    "ties gone": (
        change(["superweights", 0, "ties"], []),
        "one template needs no coefficients",
    ),
    "choice not there": (
        change(["superweights", 0, "choices"], [[0], [2]]),
        "`choices`",
    ),
    "choices uneven": (
        change(["superweights", 0, "choices"], [[0], [0, 1]]),
        "`choices`",
    ),
    "choice twice": (
        change(["superweights", 0, "choices"], [[0, 0], [0, 1]]),
        "`choices`",
    ),
    "first": (change(["superweights", 0, "first"], 2), "lie in its bank"),
    "first negative": (
        change(["superweights", 0, "first"], -1),
        "lie in its bank",
    ),
    "budget": (change(["budget_params"], 91), "more than its budget of 91"),
    "budget is text": (change(["budget_params"], "100"), "budget_params"),
    "budget is no number": (
        change(["budget_params"], float("nan")),
        "budget_params",
    ),
    "shape": (change(["members", 1, "kernels", 0, "shape"], [3]), "shape"),
    "shape is text": (
        change(["members", 1, "kernels", 0, "shape"], "abc"),
        "Error",
    ),
    "shape wider": (
        change(["members", 1, "kernels", 0, "shape"], [3, 4, 5]),
        "kernel 2",
    ),
    "kernel of another member": (
        change(["members", 1, "kernels", 0, "member"], 0),
        "member",
    ),
    "other params negative": (
        change(["members", 1, "other_params"], -50),
        "other_params",
    ),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES)
def test_damage_is_refused_by_a_message_that_says_where(damage, message):
    data = json.loads(GOOD.to_json())
    damage(data)
    with pytest.raises(ValueError, match=message):
        Allocation.from_json(json.dumps(data))


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "3", '"text"', "{}", GOOD.to_json()[:-2]],
    ids=["empty", "brace", "list", "null", "number", "text", "{}", "cut off"],
)
def test_text_that_is_no_allocation_is_refused(text):
    with pytest.raises(ValueError, match="not an allocation"):
        Allocation.from_json(text)
