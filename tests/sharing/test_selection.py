import re

import pytest

from keras_superweights.allocation import KernelSpec
from keras_superweights.allocation import MemberSpec
from keras_superweights.search.refinement import fit_clusters
from keras_superweights.sharing import SoftSharing
from keras_superweights.sharing import SuperWeights
from keras_superweights.sharing.selection import choose

SHAPE = (3, 3, 4, 4)
MEMBERS = [
    MemberSpec(
        f"net{member}",
        (
            KernelSpec(member, "stem", SHAPE),
            KernelSpec(member, "body/conv1", SHAPE),
            KernelSpec(member, "body/conv2", SHAPE),
            KernelSpec(member, "body/conv10", SHAPE),
            KernelSpec(member, "lstm", (8, 8), "kernel"),
            KernelSpec(member, "lstm", (8, 8), "recurrent_kernel", "recurrent"),
        ),
        other_params=5,
    )
    for member in range(2)
]
KERNELS = [kernel for member in MEMBERS for kernel in member.kernels]


@pytest.mark.parametrize(
    ("arguments", "first_member"),
    [
        ({}, (0, 1, 2, 3, 4, 5)),
        ({"kinds": ["recurrent", "dense"]}, (4, 5)),
        ({"exclude": ["stem"]}, (1, 2, 3, 4, 5)),
        ({"exclude": ["body/*"]}, (0, 4, 5)),
        ({"exclude": ["*conv1"]}, (0, 2, 3, 4, 5)),
        ({"exclude": ["*conv[12]", "stem"]}, (3, 4, 5)),
        ({"exclude": ["lstm"]}, (0, 1, 2, 3)),
        ({"exclude": ["lstm/recurrent_*"]}, (0, 1, 2, 3, 4)),
        ({"exclude": ["*/kernel"]}, (5,)),
        ({"kinds": ["conv"], "exclude": ["lstm", "stem"]}, (1, 2, 3)),
    ],
    ids=str,
)
def test_kernels_are_chosen_by_kind_and_by_name(arguments, first_member):
    expected = (*first_member, *(index + 6 for index in first_member))
    assert choose(KERNELS, **arguments) == expected
    assert SoftSharing(**arguments).chosen(MEMBERS) == expected


def test_one_name_may_be_given_alone():
    one = SoftSharing(kinds="conv", exclude="stem")
    several = SoftSharing(kinds=["conv"], exclude=["stem"])
    assert one == several and hash(one) == hash(several)


def test_arguments_of_a_rule_are_printed_so_that_they_can_be_read():
    rule = SuperWeights(clusters="position", tied=True, exclude=["stem"])
    assert eval(str(rule)) == rule  # noqa: S307
    assert "depth_bins" not in str(rule)
    with pytest.raises(ValueError, match=rf"sharing={re.escape(str(rule))}"):
        rule.allocate(MEMBERS, 1)


@pytest.mark.parametrize("clusters", ["depth", "position"])
def test_a_search_leaves_out_what_is_not_chosen(clusters):
    rule = SuperWeights(clusters, tied=True, kinds="conv", exclude="stem")
    start = rule.start_clusters(MEMBERS)
    held = [kernel for cluster in start for kernel in cluster.kernels]
    assert sorted(held) == [1, 2, 3, 7, 8, 9]
    similarities = [
        [[float(one == other) for one in c.kernels] for other in c.kernels]
        for c in start
    ]
    # Nothing is alike, and there is room for a kernel each.
    budget = sum(member.num_params for member in MEMBERS)
    allocation, _ = fit_clusters(MEMBERS, rule, similarities, 0.5, budget)
    assert allocation.private_kernels == (0, 4, 5, 6, 10, 11)
    assert len(allocation.banks) == 6
    assert allocation.num_params == budget
    # Bins are counted over the three that are left: they are in three.
    if clusters == "depth":
        assert {c.kernels for c in start} == {(1, 7), (2, 8), (3, 9)}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"kinds": "conv1d"}, ValueError, r"\['conv1d'\] are unknown"),
        ({"kinds": ["conv", 3]}, TypeError, r"kinds=\['conv', 3\]"),
        ({"kinds": 3}, TypeError, "kinds=3"),
        ({"exclude": None}, TypeError, "exclude=None"),
        ({"exclude": [b"stem"]}, TypeError, "list of strings"),
    ],
    ids=str,
)
def test_a_selection_that_means_nothing_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        SoftSharing(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        # Names that look like the pattern help to find the typo.
        ({"exclude": "body/cnv2"}, "'body/cnv2', .* such as .'body/conv2'"),
        ({"exclude": ["stem", "Stem"]}, "'Stem', which matches none of 5"),
        ({"exclude": "lstm/bias"}, "'lstm/bias', which matches none"),
        ({"exclude": "*"}, "leave none of 12 kernels"),
        ({"kinds": "embedding"}, "kinds=.'embedding',., .*'conv', 'dense'"),
        ({"kinds": ()}, "leave none"),
        ({"kinds": "conv", "exclude": ["body/*", "stem"]}, "leave none"),
    ],
    ids=str,
)
def test_a_selection_that_fits_nothing_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SoftSharing(**arguments).allocate(MEMBERS, 9999)
