"""What holds for every way of sharing, over many random networks."""

import dataclasses
import itertools
import json
import math
import random
import re
import time

import pytest

from keras_superweights import parts
from keras_superweights.allocation import Allocation
from keras_superweights.allocation import MemberSpec
from keras_superweights.sharing import BatchEnsemble
from keras_superweights.sharing import HardSharing
from keras_superweights.sharing import Independent
from keras_superweights.sharing import MixtureEnsembles
from keras_superweights.sharing import Shapeshifter
from keras_superweights.sharing import SoftSharing
from keras_superweights.sharing import SuperWeights
from tests import builders
from tests.builders import smallest_budget

RULES = {
    "SuperWeights": SuperWeights(),
    "SuperWeights tied": SuperWeights(tied=True),
    "SuperWeights 1 bin": SuperWeights(depth_bins=1),
    "SuperWeights 7 bins": SuperWeights(depth_bins=7, max_templates=3),
    "SuperWeights position": SuperWeights(clusters="position"),
    "MixtureEnsembles": MixtureEnsembles(),
    "MixtureEnsembles disjoint": MixtureEnsembles(disjoint=True),
    "MixtureEnsembles single": MixtureEnsembles(mix_single_layers=True),
    "MixtureEnsembles of 2": MixtureEnsembles(max_templates=2),
    "SoftSharing": SoftSharing(),
    "SoftSharing of 3": SoftSharing(max_templates=3),
    "Independent": Independent(),
} | {
    f"HardSharing {layers} {scope}": HardSharing(layers, scope)
    for layers, scope in itertools.product(
        ("early", "deep", "all"), ("network", "members", "both")
    )
}
QUICK = dict(RULES)
RULES |= {
    "Shapeshifter": Shapeshifter(),
    "Shapeshifter of 1": Shapeshifter(max_templates=1, stores="random"),
    "Shapeshifter emb": Shapeshifter("emb", 3, "bilinear", "shape"),
    "Shapeshifter rr": Shapeshifter("rr", 4, "repeat", "random", num_stores=2),
    "Shapeshifter avg": Shapeshifter("avg", 2, stores="shape"),
}
# Those that can be told what to share.
SELECTIVE = {name: r for name, r in QUICK.items() if name != "Independent"}
# Those that spend most of a budget; others have no tight bound.
SPENDING = [
    "SuperWeights",
    "SuperWeights tied",
    "SuperWeights position",
    "MixtureEnsembles",
    "MixtureEnsembles disjoint",
    "MixtureEnsembles single",
    "SoftSharing",
]


def count_scalars(allocation):
    """Trainable scalars, counted from the parts."""
    generated = {k for s in allocation.superweights for k in s.kernels}
    scalars = sum(bank.size for bank in allocation.banks)
    for superweight in allocation.superweights:
        count = len(superweight.kernels)
        if isinstance(superweight.mixing, parts.Embedded):
            scalars += 24 * count + 25 * superweight.num_templates
        elif superweight.ties:
            every = [range(superweight.num_templates)] * count
            scalars += sum(map(len, superweight.mixing.choices or every))
    for transform in allocation.transforms:
        if isinstance(transform, parts.Mask):
            sizes = [
                math.prod(allocation.kernels[k].shape)
                for k in transform.kernels
            ]
            scalars += sum(9 * ((s - 1) // transform.length) for s in sizes)
    index = 0
    for member in allocation.members:
        scalars += member.other_params
        for kernel in member.kernels:
            if index not in generated:
                scalars += math.prod(kernel.shape)
            index += 1
    return scalars


def cases(rule, count, salt=""):
    """Random members; fewer and smaller ones for a rule that is slow."""
    draw = random.Random(str(rule) + salt)
    is_slow = isinstance(rule, Shapeshifter)
    for _ in range(count // 3 if is_slow else count):
        make = builders.any_member if is_slow else builders.any_members
        members = make(draw)
        yield draw, [members] if is_slow else members


def total_of_table(allocation):
    return int(
        re.search(r"^([\d,]+) trainable scalars", str(allocation), re.MULTILINE)
        .group(1)
        .replace(",", "")
    )


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_random_cases_keep_their_budget_and_are_read_again(rule):
    for draw, members in cases(rule, 50):
        independent = sum(member.num_params for member in members)
        minimum = smallest_budget(rule, members)
        budget = draw.randint(minimum, max(minimum, 4 * independent))
        allocation = rule.allocate(members, budget)
        used = count_scalars(allocation)
        assert used <= budget
        assert used == allocation.num_params == total_of_table(allocation)
        # What is left is explained, and only then.
        assert (used == budget) == (not allocation.note), allocation.note
        text = allocation.to_json()
        json.loads(text, parse_constant=pytest.fail)
        again = Allocation.from_json(text)
        assert again == allocation and hash(again) == hash(allocation)
        assert str(again) == str(allocation)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_the_smallest_budget_named_is_the_smallest_that_works(rule):
    for _, members in cases(rule, 25, "minimum"):
        minimum = smallest_budget(rule, members)
        assert count_scalars(rule.allocate(members, minimum)) <= minimum
        builders.refuses_less(rule, members, minimum)


@pytest.mark.parametrize("name", SPENDING)
def test_ensembles_of_wide_resnets_use_95_percent(name):
    """From 1.5 times the minimum up to one template per kernel."""
    rule = RULES[name]
    draw = random.Random(name)
    tried = 0
    for _ in range(120):
        members = [
            builders.wide_resnet(
                m, draw.choice([16, 22, 28, 34]), draw.randint(2, 10)
            )
            for m in range(draw.randint(2, 4))
        ]
        minimum = smallest_budget(rule, members)
        independent = sum(member.num_params for member in members)
        # Where one member is most of the ensemble there is no such budget.
        budget = int(draw.uniform(1.5 * minimum, independent))
        if 1.5 * minimum > independent:
            continue
        allocation = rule.allocate(members, budget)
        used = count_scalars(allocation) / budget
        assert used >= 0.95, (name, members, budget, str(allocation))
        tried += 1
    assert tried > 10


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_the_same_members_give_the_same_allocation(rule):
    members = builders.any_members(random.Random(3))
    budget = smallest_budget(rule, members) * 2
    assert rule.allocate(members, budget) == rule.allocate(members, budget)
    assert rule == type(rule)(**vars(rule))
    assert str(rule.allocate(members, budget)).startswith(str(rule))


@pytest.mark.parametrize("rule", QUICK.values(), ids=QUICK)
def test_ten_thousand_kernels_are_allocated_within_seconds(rule):
    members = builders.members(
        *[
            [(3, 3, 8 * (1 + i // 500), 8 + m) for i in range(5000)]
            for m in range(2)
        ],
        other_params=10,
    )
    independent = sum(member.num_params for member in members)
    started = time.process_time()
    allocation = rule.allocate(members, independent)
    assert time.process_time() - started < 5.0
    assert allocation.num_params <= independent


def some_of(draw, rule, members):
    """The rule with a selection, and what it leaves, kernel by kernel."""
    kernels = [kernel for member in members for kernel in member.kernels]
    names = sorted({kernel.layer for kernel in kernels})
    exclude = draw.sample(names, draw.randint(0, len(names) - 1))
    kinds = draw.choice([None, ("conv",), ("conv", "dense"), ("depthwise",)])
    left = [
        index
        for index, kernel in enumerate(kernels)
        if kernel.layer not in exclude and kernel.kind in (kinds or kernel.kind)
    ]
    return dataclasses.replace(rule, kinds=kinds, exclude=exclude), left


def without(members, left):
    """The members with only these kernels, the others among their rest."""
    numbers = itertools.count()
    result = []
    for member in members:
        kept = tuple(k for k in member.kernels if next(numbers) in left)
        others = member.num_params - sum(math.prod(k.shape) for k in kept)
        result.append(MemberSpec(member.name, kept, others))
    return result


@pytest.mark.parametrize("rule", SELECTIVE.values(), ids=SELECTIVE)
def test_what_is_not_chosen_costs_as_what_cannot_be_shared(rule):
    draw = random.Random(str(rule) + "selection")
    tried = 0
    while tried < 40:
        members = builders.any_members(draw)
        selective, left = some_of(draw, rule, members)
        if not left:
            continue
        tried += 1
        reduced = without(members, left)
        minimum = smallest_budget(selective, members)
        assert minimum == smallest_budget(rule, reduced)
        builders.refuses_less(selective, members, minimum)
        independent = sum(member.num_params for member in members)
        budget = draw.randint(minimum, max(minimum, 2 * independent))
        allocation = selective.allocate(members, budget)
        expected = rule.allocate(reduced, budget)
        assert allocation.members == tuple(members)
        assert allocation.banks == expected.banks
        assert allocation.note == expected.note
        served = [
            dataclasses.replace(
                each, kernels=tuple(left[k] for k in each.kernels)
            )
            for each in expected.superweights
        ]
        assert list(allocation.superweights) == served
        assert count_scalars(allocation) == allocation.num_params
        assert allocation.num_params == expected.num_params <= budget
        kernels = range(len(allocation.kernels))
        assert set(kernels) - set(left) <= set(allocation.private_kernels)


BAD_ARGUMENTS = [
    (BatchEnsemble, "start", ["zeros", 1.5, None, (0.5,)]),
    (BatchEnsemble, "rate", [-1.0, "half"]),
    (HardSharing, "layers", ["late", None]),
    (HardSharing, "scope", ["ensemble", ["both"]]),
    (MixtureEnsembles, "max_templates", [1, 0, -3, 2.0, "5", None]),
    (MixtureEnsembles, "disjoint", ["no", 1, None]),
    (MixtureEnsembles, "mix_single_layers", ["no"]),
    (Shapeshifter, "mixing", ["sum", None, int, ["wavg"]]),
    (Shapeshifter, "upsampling", ["nearest", {}]),
    (Shapeshifter, "stores", ["many", 3, None, (), ("a*", 1), (0.5, 1.0)]),
    (Shapeshifter, "max_templates", [0, True]),
    (Shapeshifter, "num_stores", [1.5]),
    (Shapeshifter, "seed", ["x"]),
    (SoftSharing, "max_templates", [0, -1, 2.5, "8"]),
    (SuperWeights, "clusters", ["shape", None, ["depth"]]),
    (SuperWeights, "tied", ["yes", 0, None]),
    (SuperWeights, "depth_bins", [0, -1, 2.0, "4", None]),
    (SuperWeights, "max_templates", [0, 1.5]),
]


@pytest.mark.parametrize(
    ("rule", "name", "value"),
    [
        (rule, name, value)
        for rule, name, values in BAD_ARGUMENTS
        for value in values
    ],
)
def test_arguments_that_mean_nothing_are_refused(rule, name, value):
    received = re.escape(f"{name}={value!r}")
    message = f"`{name}` must be .*{received}"
    with pytest.raises((TypeError, ValueError), match=message):
        rule(**{name: value})
