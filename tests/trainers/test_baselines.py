"""What a budget buys without sharing."""

import keras
import pytest

from configs import base
from configs import digits
from trainers.phases import baselines
from trainers.phases import experiment
from trainers.runs.reading import differences

# What a baseline may change, beside its members.
CHANGED = {
    "budget_params",
    "members",
    "one_network",
    "search.pretrain_epochs",
    "sharing.clusters",
    "sharing.rule",
}


@pytest.fixture
def config():
    config = digits.get_config("quick").unlock()
    config.members = base.wide_resnets((10, 1), (16, 1), (10, 1))
    return config


def allocated(config):
    experiment.check(config)
    return experiment.allocate(config, experiment.members(config))


def changes(config, found):
    lines = differences(config.to_dict(), found.to_dict()).splitlines()
    return {line.split(":")[0].strip() for line in lines}


def test_one_network_is_the_largest_member_in_the_whole_budget(config):
    budget = allocated(config).budget_params
    one = baselines.one_network(config)
    (member,) = one.members
    assert member["depth"] == 16
    alone = allocated(one)
    assert alone.budget_params == budget
    assert 0.95 * budget < alone.num_params <= budget
    assert not alone.banks
    assert changes(config, one) == CHANGED


def test_narrow_members_fit_the_budget_together(config):
    for budget in (0.6, 50_000.0):
        config.budget_params = budget
        limit = allocated(config).budget_params if budget < 1 else 50_000
        narrow = baselines.narrow(config)
        assert [member["depth"] for member in narrow.members] == [10, 16, 10]
        found = allocated(narrow)
        assert found.budget_params == limit
        assert 0.9 * limit < found.num_params <= limit
        assert not found.banks
        # Equal members stay equal.
        assert narrow.members[0] == narrow.members[-1]
    config.budget_params = 101.0
    with pytest.raises(ValueError, match="what the models have at their narr"):
        baselines.narrow(config)


def test_the_deep_ensemble_is_outside_of_the_budget(config):
    whole = allocated(config).independent_params
    deep = baselines.unshared(config)
    found = allocated(deep)
    assert found.num_params == found.budget_params == whole
    assert changes(config, deep) == CHANGED - {"members"}


def test_baselines_have_the_transforms_that_cost_nothing(config):
    transforms = ({"class": "RankOne"}, {"class": "Standardized"})
    config.sharing = base.rule("SuperWeights", transforms=transforms)
    limit = allocated(config).budget_params
    for baseline in (baselines.one_network, baselines.narrow):
        found = baseline(config)
        assert list(found.sharing.transforms) == [{"class": "Standardized"}]
        assert allocated(found).num_params <= limit


def test_a_member_of_a_single_width_is_refused(config, monkeypatch):
    def stiff(num_classes=10, input_shape=(8, 8, 1)):
        inputs = keras.Input(input_shape)
        x = keras.layers.Conv2D(4, 8)(inputs)
        x = keras.layers.Reshape((4,), name="of_four")(x)
        return keras.Model(inputs, keras.layers.Dense(num_classes)(x))

    monkeypatch.setitem(experiment.MODELS, "stiff", stiff)
    config.members, config.budget_params = ({"model": "stiff"},) * 2, 0.9
    for baseline in (baselines.one_network, baselines.narrow):
        with pytest.raises(ValueError, match="layer 'of_four' does not"):
            baseline(config)
