"""The rule of members that come without one."""

import pytest

import keras_superweights as ksw
from keras_superweights.sharing import FairShares
from keras_superweights.sharing import Independent
from keras_superweights.sharing import Shapeshifter
from keras_superweights.sharing import default_rule
from tests import builders

ALIKE = [builders.wide_resnet(index, 10, 1) for index in range(2)]
UNLIKE = [builders.wide_resnet(0, 10, 1), builders.wide_resnet(1, 16, 2)]


@pytest.mark.parametrize("members", [ALIKE, UNLIKE])
def test_several_members_get_fair_shares(members):
    least = builders.smallest_budget(FairShares(), members)
    assert default_rule(members, least) == FairShares()
    assert default_rule(members, least - 1) == Shapeshifter()


def test_a_single_member_gets_what_share_gives_it():
    assert default_rule(ALIKE[:1], 10**4) == Shapeshifter()


@pytest.mark.parametrize("members", [ALIKE[:1], ALIKE, UNLIKE])
def test_nothing_is_shared_where_everything_fits(members):
    whole = sum(member.num_params for member in members)
    assert default_rule(members, whole) == Independent()
    assert default_rule(members, whole - 1) != Independent()


def test_a_network_without_a_rule_names_the_one_chosen():
    members = [lambda: ksw.models.wide_resnet(10, 1)] * 2
    network = ksw.SuperWeightNetwork(members, budget_params=0.7)
    assert str(network.allocation).startswith("FairShares()\n")
    assert str(ksw.allocate(members, 0.7)) == str(network.allocation)
    assert ksw.allocate(members[0], 0.7).sharing == "Shapeshifter()"
