"""Rules of one's own, and what the base does for every rule."""

import dataclasses
import random
from dataclasses import dataclass

import keras
import numpy as np
import pytest

import keras_superweights as ksw
from keras_superweights import sharing
from keras_superweights.allocation import Allocation
from keras_superweights.allocation import Mixing
from keras_superweights.banks import KernelGenerator
from keras_superweights.parts import Flat
from keras_superweights.parts import Mask
from keras_superweights.parts import Plain
from keras_superweights.parts import RankOne
from keras_superweights.parts import Region
from keras_superweights.parts.average import AverageLayer
from tests import builders

BUILT_IN = [
    sharing.HardSharing(),
    sharing.Independent(),
    sharing.MixtureEnsembles(),
    sharing.Shapeshifter(),
    sharing.Shapeshifter(mixing="emb", upsampling="bilinear", stores="shape"),
    sharing.SoftSharing(),
    sharing.SuperWeights(),
]


SCALE = builders.Scale()
CONV, DENSE = (3, 3, 4, 4), (4, 6)
# Kernels 0 to 3 and 4 to 6; 144 and 24 scalars.
MEMBERS = builders.members(
    [CONV, CONV, DENSE, CONV], [CONV, DENSE, DENSE], other_params=5
)
WHOLE = 4 * 144 + 3 * 24 + 10


def served(allocation):
    return {each.kernels for each in allocation.superweights}


def scalars_built(allocation):
    """Scalars of the generator, of private kernels and of all else."""
    generator = KernelGenerator(allocation)
    sizes = [np.prod(v.shape) for v in generator.trainable_variables]
    private = (allocation.kernels[k].size for k in allocation.private_kernels)
    others = sum(member.other_params for member in allocation.members)
    return sum(sizes) + sum(private) + others


@pytest.mark.parametrize(
    ("arguments", "groups", "num_params"),
    [
        ({}, {(0, 1, 3, 4), (2, 5, 6)}, 144 + 24 + 10),
        ({"kinds": "conv"}, {(0, 1, 3, 4)}, 144 + 72 + 10),
        ({"exclude": "l0"}, {(1, 3), (2, 5, 6)}, 3 * 144 + 24 + 10),
        ({"kinds": "conv", "exclude": ["l[01]"]}, {(3,)}, WHOLE),
        ({"transforms": SCALE}, {(0, 1, 3, 4), (2, 5, 6)}, 178 + 34),
        (
            {"transforms": [SCALE], "kinds": "dense"},
            {(2, 5, 6)},
            4 * 144 + 24 + 10 + 18,
        ),
    ],
    ids=str,
)
def test_a_rule_of_ones_own_is_given_what_it_may_share(
    arguments, groups, num_params
):
    rule = builders.OneKernel(**arguments)
    allocation = rule.allocate(MEMBERS, WHOLE + 3)
    assert served(allocation) == groups
    assert allocation.num_params == scalars_built(allocation) == num_params
    left = WHOLE + 3 - num_params
    assert allocation.note == f"{left} scalars are left: nothing can use more."
    assert allocation.sharing == str(rule)
    chosen = tuple(sorted(k for group in groups for k in group))
    assert rule.chosen(MEMBERS) == chosen
    scaled = dataclasses.replace(SCALE, kernels=chosen)
    expected = (scaled,) if "transforms" in arguments else ()
    assert allocation.transforms == expected
    assert Allocation.from_json(allocation.to_json()) == allocation


def test_a_network_is_shared_by_a_rule_of_ones_own():
    layers = [keras.layers.Dense(6, name=f"dense{i}") for i in range(3)]
    model = keras.Sequential([keras.Input((6,)), *layers])
    network = ksw.share(model, 0.9, builders.OneKernel(transforms=SCALE))
    # The last is the head.
    assert network.allocation.num_params == 36 + 12 + 6 + 6 + 42
    values = np.random.default_rng(0).normal(size=(2, 6))
    for layer, scales in zip(network.generator.transforms, values, strict=True):
        layer.scales.assign(scales)
    (plain,) = network.materialize()
    kernels = [layer.kernel.numpy() for layer in plain.layers]
    one, other = kernels[0] / values[0], kernels[1] / values[1]
    np.testing.assert_allclose(one, other, rtol=1e-5)


@dataclass(frozen=True)
class Planned(sharing.Rule):
    """Gives each kernel a bank, but for what `wrong` does to the plan."""

    wrong: object = None

    def plan(self, kernels, scalars):
        plan = sharing.Plan(private=[0], reason="nobody asked")
        for index, kernel in enumerate(kernels[1:], start=1):
            plan.add(f"b{index}", [index], Region.of(kernel), Plain())
        self.wrong(plan)
        return plan

    def __str__(self):
        return "Planned()"


def private(*indices):
    return lambda plan: plan.private.extend(indices)


def serve(index):
    return lambda plan: plan.add("more", [index], Flat(1), Plain())


def transform(index):
    return lambda plan: plan.transform(builders.Scale(kernels=(index,)))


def drop(plan):
    for _ in range(2):
        plan.superweights.pop(2)


PLACE = r"one place for each of the 7 kernels .* plan of Planned\(\) "


@pytest.mark.parametrize("transforms", [(), (SCALE,)], ids=["plain", "scaled"])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (drop, PLACE + r"has no place for kernels: 3 \('l3'\), 4 \('l0'\)\."),
        (
            lambda plan: plan.superweights.clear(),
            PLACE + r"has no place for .*6 \('l2'\)\.",
        ),
        (private(2), PLACE + r"has twice kernels: 2 \('l2'\)\."),
        (private(0), PLACE + r"has twice kernels: 0 \('l0'\)\."),
        (serve(0), PLACE + r"has twice kernels: 0 \('l0'\)\."),
        (serve(7), PLACE + r".* none of kernels: 7\."),
        (private(7, 9), PLACE + r".* none of kernels: 7, 9\."),
        (private(-1), PLACE + r".* none of kernels: -1\."),
        (transform(7), PLACE + r".* none of kernels: 7\."),
        (transform(-1), PLACE + r".* none of kernels: -1\."),
        (serve(3), "must make up its shape"),
        (
            lambda plan: plan.add_bank("unread", 10**4),
            r"cost no more .*Planned\(\) costs 10648 of .*`Plan.require`",
        ),
    ],
)
def test_a_plan_that_is_none_is_refused(wrong, message, transforms):
    with pytest.raises(ValueError, match=message):
        Planned(wrong=wrong, transforms=transforms).allocate(MEMBERS, 9999)


def test_what_a_plan_leaves_to_layers_has_a_bank_where_it_is_transformed():
    rule = Planned(wrong=lambda plan: None)
    plain = rule.allocate(MEMBERS, WHOLE + 50)
    assert plain.private_kernels == (0,)
    assert plain.note == "50 scalars are left: nobody asked."
    scaled = dataclasses.replace(rule, transforms=SCALE)
    allocation = scaled.allocate(MEMBERS, WHOLE + 50)
    assert allocation.private_kernels == ()
    assert allocation.banks[-1].name == "l0 of member 0"
    assert allocation.num_params == plain.num_params + 4 * 4 + 3 * 6
    assert scalars_built(allocation) == allocation.num_params


def test_transforms_of_a_rule_come_after_those_of_its_plan():
    allocation = sharing.Shapeshifter(transforms=SCALE).allocate(MEMBERS, 170)
    chains = {tuple(map(type, chain)) for chain in allocation.transforms_of}
    assert chains == {(Mask, builders.Scale), (builders.Scale,)}
    assert scalars_built(allocation) == allocation.num_params <= 170


@dataclass(frozen=True)
class Requiring(builders.OneKernel):
    """As its base, but it says what it needs, and a little more."""

    def plan(self, kernels, scalars):
        sharing.Plan.require(200, scalars, kept=30, hint="Ask for less.")
        return super().plan(kernels, scalars)


def test_what_a_plan_requires_is_the_smallest_budget():
    rule = Requiring()
    assert builders.smallest_budget(rule, MEMBERS) == 210
    assert rule.allocate(MEMBERS, 210).num_params == 178
    with pytest.raises(ValueError) as error:
        rule.allocate(MEMBERS, 209)
    assert str(error.value) == (
        "`budget_params` is too small for these members and this way of "
        "sharing. The smallest budget that works is 210. Received: "
        "budget_params=209, sharing=Requiring(). The smallest is "
        f"{210 / WHOLE:.1%} of the {WHOLE} that the members have when they "
        "share nothing. Of it they keep 40 to themselves: heads, batch norm, "
        "biases and kernels that the rule does not share. Ask for less."
    )


@pytest.mark.parametrize("rule", BUILT_IN, ids=str)
def test_the_smallest_budget_of_a_built_in_rule_works_with_transforms(rule):
    draw = random.Random(str(rule))
    for _ in range(6):
        members = [
            builders.any_member(draw, m) for m in range(draw.randint(1, 3))
        ]
        kinds = draw.choice(
            [None, {k.kind for m in members for k in m.kernels}]
        )
        exclude = draw.choice([(), ("l0",)])
        if exclude and all(len(member.kernels) == 1 for member in members):
            continue
        some = dataclasses.replace(
            rule, kinds=kinds and sorted(kinds), exclude=exclude
        )
        scaled = dataclasses.replace(some, transforms=[SCALE, RankOne()])
        kernels = some.chosen_kernels(members)
        scalars = sum(k.shape[-1] + sum(k.box) for k in kernels)
        smallest = builders.smallest_budget(scaled, members)
        assert smallest == builders.smallest_budget(some, members) + scalars
        builders.refuses_less(scaled, members, smallest)
        allocation = scaled.allocate(members, smallest)
        assert set(scaled.chosen(members)) == set().union(*served(allocation))
        assert scalars_built(allocation) == allocation.num_params <= smallest


@pytest.mark.parametrize("transforms", ["mask", None, 3, [SCALE, "mask"], Mask])
def test_what_is_no_transform_is_refused(transforms):
    with pytest.raises(TypeError, match="`transforms` must be a transform of"):
        builders.OneKernel(transforms=transforms)


def test_rules_name_what_is_not_at_its_default_and_must_have_a_plan():
    assert str(builders.OneKernel()) == "OneKernel()"
    assert builders.OneKernel(transforms=SCALE) == builders.OneKernel(
        transforms=[SCALE]
    )
    text = str(builders.OneKernel(kinds="conv", transforms=SCALE))
    assert text == f"OneKernel(kinds=('conv',), transforms=({SCALE},))"
    with pytest.raises(NotImplementedError, match="Rule has no `plan`"):
        sharing.Rule().allocate(MEMBERS, WHOLE)


@dataclass(frozen=True)
class OfTestRuleFirst(Mixing):
    """The first template of several, at the scale of each kernel."""

    def layer(self, norms, num_templates, **kwargs):
        layer = AverageLayer(norms, num_templates, **kwargs)
        layer._matrix = np.eye(1, num_templates) * np.reshape(norms, (-1, 1))
        return layer


def test_a_mixing_and_an_upsampling_of_ones_own_are_one_class_each():
    kernels = [(3, 3, 4, 4), (3, 3, 4, 4), (3, 3, 16, 16)]
    rule = sharing.Shapeshifter(mixing=OfTestRuleFirst, upsampling=Mask)
    allocation = rule.allocate([builders.member(*kernels)], 500)
    assert Allocation.from_json(allocation.to_json()) == allocation
    generator = KernelGenerator(allocation)
    made = builders.made(generator)
    store = np.array(generator.banks[0].store)
    ratio = made[1].ravel() / store[:144]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-5)
    with pytest.raises(ValueError, match="`mixing` must be one of.*Mixing"):
        sharing.Shapeshifter(mixing=Mask)
