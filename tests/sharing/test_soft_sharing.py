import random

import numpy as np
import pytest

import keras_superweights as ksw
from keras_superweights.members.allocating import describe
from keras_superweights.members.cloning import without_memory
from keras_superweights.sharing import SoftSharing
from tests import builders


def test_layers_alike_in_one_member_share_and_others_keep_their_kernel():
    """Against every pair of kernels, over random members."""
    draw = random.Random(0)
    for _ in range(100):
        members = builders.alike_members(draw)
        kernels = [kernel for member in members for kernel in member.kernels]
        alike = {
            tuple(
                other
                for other, b in enumerate(kernels)
                if (a.member, a.kind, a.shape) == (b.member, b.kind, b.shape)
            )
            for a in kernels
        }
        shared = {group for group in alike if len(group) > 1}
        most = draw.choice([None, 1, 3])
        allocation = SoftSharing(most).allocate(members, 10**6)
        assert {s.kernels for s in allocation.superweights} == shared
        for superweight in allocation.superweights:
            count = len(superweight.kernels)
            assert superweight.num_templates == (most or max(8, count))
            assert superweight.ties == tuple(range(count))
        # A template per group, and a coefficient per layer that shares.
        needed = sum(member.other_params for member in members)
        needed += sum(np.prod(kernels[group[0]].shape) for group in alike)
        needed += sum(map(len, shared))
        assert builders.smallest_budget(SoftSharing(), members) == needed


# As the authors of SWRN have it, who leave the first blocks out.
SWRN = SoftSharing(exclude="*_block0_*")


def described(make):
    with without_memory():
        (member,) = describe([make()])
    return member


WRN_28_10 = described(lambda: ksw.models.wide_resnet(28, 10, num_classes=100))
WRN_50_2 = described(ksw.models.wide_resnet_50_2)


@pytest.mark.parametrize(
    ("member", "rule", "least", "share"),
    [
        (WRN_28_10, SWRN, 12e6, 0.33),
        (WRN_50_2, SWRN, 40e6, 0.58),
        # Where the first blocks share too.
        (WRN_28_10, SoftSharing(), None, 0.21),
        (WRN_50_2, SoftSharing(), None, 0.31),
    ],
)
def test_the_least_is_the_share_that_swrn_needs(member, rule, least, share):
    """Of 36.5M and 69M parameters: NPAS, section 4.2 and figure 4."""
    found = builders.smallest_budget(rule, [member])
    assert found / member.num_params == pytest.approx(share, abs=0.01)
    if least:
        assert found == pytest.approx(least, rel=0.03)
        whole = 36.5e6 if member is WRN_28_10 else 69e6
        assert member.num_params == pytest.approx(whole, rel=0.01)
