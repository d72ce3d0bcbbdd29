"""What holds for every way of sharing, over many random networks."""

import dataclasses
import itertools
import math
import random
import re

import pytest

from keras_superweights.allocation import KernelSpec
from keras_superweights.allocation import MemberSpec
from keras_superweights.sharing import HardSharing
from keras_superweights.sharing import Independent
from keras_superweights.sharing import MixtureEnsembles
from keras_superweights.sharing import SoftSharing
from keras_superweights.sharing import SuperWeights

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
# Those that can be told what to share.
SELECTIVE = {name: r for name, r in RULES.items() if name != "Independent"}
# Those that may spend a whole budget: what they may give has no tight bound.
SPENDING = [
    "SuperWeights",
    "SuperWeights tied",
    "SuperWeights position",
    "MixtureEnsembles",
    "MixtureEnsembles disjoint",
    "MixtureEnsembles single",
    "SoftSharing",
]


def wide_resnet(member, depth, width, classes=10):
    """The kernels of WRN-depth-width, written down from the paper."""
    blocks = (depth - 4) // 6
    shapes = [(3, 3, 3, 16)]
    channels = 16
    norms = 0
    for stage in range(3):
        filters = 16 * 2**stage * width
        for block in range(blocks):
            norms += 2 * channels + 2 * filters
            if block == 0 and (channels != filters or stage):
                shapes.append((1, 1, channels, filters))
            shapes.append((3, 3, channels, filters))
            shapes.append((3, 3, filters, filters))
            channels = filters
    norms += 2 * channels
    kernels = tuple(
        KernelSpec(member, f"conv{i}", shape) for i, shape in enumerate(shapes)
    )
    return MemberSpec(
        f"wrn{depth}_{width}", kernels, norms + (channels + 1) * classes
    )


def any_network(draw, member):
    """Convolutions and dense layers of any shape, with nothing in common."""
    kernels = []
    for index in range(draw.randint(1, 12)):
        window = draw.choice([(), (1, 1), (3, 3), (3,), (2, 2, 2)])
        box = (draw.randint(1, 12), draw.randint(1, 12))
        if draw.random() < 0.3:
            window, box = (3, 3), (4, 4)  # else few would be alike
        kind = draw.choice(["conv", "depthwise"] if window else ["dense"])
        kernels.append(
            KernelSpec(member, f"layer{index}", (*window, *box), kind=kind)
        )
    return MemberSpec(f"net{member}", tuple(kernels), draw.randint(0, 50))


def random_members(draw):
    count = draw.randint(1, 4)
    if draw.random() < 0.6:
        return [
            wide_resnet(m, draw.choice([10, 16, 22, 28]), draw.randint(1, 6))
            for m in range(count)
        ]
    return [any_network(draw, member) for member in range(count)]


def minimum_of(rule, members):
    """The smallest budget, as the error for a budget of 1 names it."""
    with pytest.raises(ValueError, match="budget that works is") as error:
        rule.allocate(members, 1)
    return int(re.search(r"budget that works is (\d+)", str(error.value))[1])


def count_scalars(allocation):
    """Trainable scalars, counted from the parts."""
    generated = {k for s in allocation.superweights for k in s.kernels}
    scalars = sum(bank.size for bank in allocation.banks)
    for piece in allocation.superweights:
        if piece.ties:
            mixed = piece.choices or [range(piece.num_templates)] * len(
                piece.kernels
            )
            scalars += sum(len(row) for row in mixed)
    index = 0
    for member in allocation.members:
        scalars += member.other_params
        for kernel in member.kernels:
            if index not in generated:
                scalars += math.prod(kernel.shape)
            index += 1
    return scalars


def total_of_table(allocation):
    return int(
        re.search(r"^([\d,]+) trainable scalars", str(allocation), re.MULTILINE)
        .group(1)
        .replace(",", "")
    )


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_no_random_case_exceeds_its_budget(rule):
    """50 cases a rule."""
    draw = random.Random(str(rule))
    for _ in range(50):
        members = random_members(draw)
        independent = sum(member.num_params for member in members)
        minimum = minimum_of(rule, members)
        budget = draw.randint(minimum, max(minimum, 4 * independent))
        allocation = rule.allocate(members, budget)
        used = count_scalars(allocation)
        assert used <= budget
        assert used == allocation.num_params == total_of_table(allocation)
        # What is left is explained, and only then.
        assert (used == budget) == (not allocation.note), allocation.note


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_the_smallest_budget_named_is_the_smallest_that_works(rule):
    draw = random.Random(str(rule) + "minimum")
    for _ in range(25):
        members = random_members(draw)
        minimum = minimum_of(rule, members)
        assert count_scalars(rule.allocate(members, minimum)) <= minimum
        with pytest.raises(ValueError, match=f"works is {minimum}. Received"):
            rule.allocate(members, minimum - 1)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_equal_kernels_of_one_network_can_share_a_single_one(rule):
    """The smallest network there is: any rule finds its least budget."""
    kernels = tuple(KernelSpec(0, f"l{i}", (3, 3, 4, 4)) for i in range(5))
    members = [MemberSpec("equal", kernels, other_params=3)]
    minimum = minimum_of(rule, members)
    rule.allocate(members, minimum)
    with pytest.raises(ValueError, match=f"works is {minimum}"):
        rule.allocate(members, minimum - 1)


@pytest.mark.parametrize("name", SPENDING)
def test_ensembles_of_wide_resnets_use_95_percent(name):
    """From 1.5 times the minimum up to one template per kernel."""
    rule = RULES[name]
    draw = random.Random(name)
    tried = 0
    for _ in range(120):
        members = [
            wide_resnet(m, draw.choice([16, 22, 28, 34]), draw.randint(2, 10))
            for m in range(draw.randint(2, 4))
        ]
        minimum = minimum_of(rule, members)
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


def scattered(members, allocation):
    """Each kernel's plane of `(SuperWeight, row)`, painted point by point."""
    planes = []
    kernels = [kernel for member in members for kernel in member.kernels]
    for index, kernel in enumerate(kernels):
        inputs, outputs = kernel.shape[-2:]
        plane = [[[] for _ in range(outputs)] for _ in range(inputs)]
        for s, piece in enumerate(allocation.superweights):
            if index not in piece.kernels:
                continue
            if piece.length:  # read as a vector: the whole plane
                region = [(0, inputs, 0, outputs)]
            else:
                region = piece.region
                assert piece.window == kernel.shape[:-2]
            for a, b, c, d in region:
                for i in range(a, min(b, inputs)):
                    for j in range(c, min(d, outputs)):
                        plane[i][j].append(s)
        planes.append(plane)
    return planes


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_every_scalar_of_a_kernel_comes_from_one_superweight_or_its_own(rule):
    draw = random.Random(str(rule) + "scalars")
    for _ in range(8):
        members = [any_network(draw, m) for m in range(draw.randint(1, 3))]
        minimum = minimum_of(rule, members)
        for budget in (minimum, 2 * minimum):
            allocation = rule.allocate(members, budget)
            private = set(allocation.private_kernels)
            planes = scattered(members, allocation)
            for index, plane in enumerate(planes):
                owners = {len(point) for row in plane for point in row}
                assert owners == ({0} if index in private else {1})


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_the_same_members_give_the_same_allocation(rule):
    members = random_members(random.Random(3))
    budget = minimum_of(rule, members) * 2
    assert rule.allocate(members, budget) == rule.allocate(members, budget)
    assert rule == type(rule)(**vars(rule))
    assert allocation_text(rule, members, budget).startswith(str(rule))


def allocation_text(rule, members, budget):
    return str(rule.allocate(members, budget))


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_ten_thousand_kernels_are_allocated_within_seconds(rule):
    import time

    members = [
        MemberSpec(
            f"deep{m}",
            tuple(
                KernelSpec(m, f"l{i}", (3, 3, 8 * (1 + i // 500), 8 + m))
                for i in range(5000)
            ),
            other_params=10,
        )
        for m in range(2)
    ]
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
        numbered = [(next(numbers), kernel) for kernel in member.kernels]
        result.append(
            MemberSpec(
                member.name,
                tuple(kernel for i, kernel in numbered if i in left),
                member.other_params
                + sum(math.prod(k.shape) for i, k in numbered if i not in left),
            )
        )
    return result


@pytest.mark.parametrize("rule", SELECTIVE.values(), ids=SELECTIVE)
def test_what_is_not_chosen_costs_as_what_cannot_be_shared(rule):
    draw = random.Random(str(rule) + "selection")
    tried = 0
    while tried < 40:
        members = random_members(draw)
        selective, left = some_of(draw, rule, members)
        if not left:
            continue
        tried += 1
        reduced = without(members, left)
        minimum = minimum_of(selective, members)
        assert minimum == minimum_of(rule, reduced)
        with pytest.raises(ValueError, match=f"works is {minimum}. Received"):
            selective.allocate(members, minimum - 1)
        independent = sum(member.num_params for member in members)
        budget = draw.randint(minimum, max(minimum, 2 * independent))
        allocation = selective.allocate(members, budget)
        expected = rule.allocate(reduced, budget)
        assert allocation.members == tuple(members)
        assert allocation.banks == expected.banks
        assert allocation.note == expected.note
        served = [
            dataclasses.replace(
                piece, kernels=tuple(left[k] for k in piece.kernels)
            )
            for piece in expected.superweights
        ]
        assert list(allocation.superweights) == served
        assert count_scalars(allocation) == allocation.num_params
        assert allocation.num_params == expected.num_params <= budget
        kernels = range(len(allocation.kernels))
        assert set(kernels) - set(left) <= set(allocation.private_kernels)
