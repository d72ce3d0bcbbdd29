"""Spaces of tuning: ranges, choices, and settings from their values."""

import keras_tuner
import pytest

import keras_superweights as ksw
from keras_superweights.tuning import Space

SPACE = Space(
    budget_params=(0.25, 4.0),
    learning_rate=(0.01, 1.0),
    tau=(-0.5, 0.5),
    beta=(0.0, 1.0),
    depth_bins=(4, 1),
    max_templates=(8,),
    num_members=(1, 3),
)


def drawn(space, candidates=(), num_draws=300):
    """Values as KerasTuner draws them, all of one seed after the other."""
    hp = keras_tuner.HyperParameters()
    space.declare(hp, candidates)
    oracle = ksw.tuning.make_oracle("random", "nll", "min", hp, num_draws)
    values = [oracle._random_values() for _ in range(num_draws)]
    return hp, values


def test_draws_lie_in_the_space_budget_and_rate_on_a_log_scale():
    _, values = drawn(SPACE, ("a", "b"))
    for name in ("budget_params", "learning_rate", "tau", "beta"):
        low, high = getattr(SPACE, name)
        assert all(low <= each[name] <= high for each in values)
    # Half of the draws on each side of the middle.
    for name, middle in (
        ("budget_params", 1.0),  # sqrt(0.25 * 4)
        ("learning_rate", 0.1),
        ("tau", 0.0),
        ("beta", 0.5),
    ):
        below = sum(each[name] < middle for each in values)
        assert 120 < below < 180, name
    for name in ("depth_bins", "max_templates", "num_members"):
        found = {each[name] for each in values}
        assert found == set(getattr(SPACE, name))


def test_there_are_as_many_members_as_drawn_each_any_candidate():
    _, values = drawn(SPACE, ("a", "b"))
    ensembles = set()
    for each in values:
        slots = [name for name in each if name.startswith("member_")]
        assert len(slots) == each["num_members"]
        members = SPACE.settings(each)["members"]
        assert len(members) == each["num_members"]
        ensembles.add(members)
    singles = {("a",), ("b",)}
    threes = {(x, y, z) for x in "ab" for y in "ab" for z in "ab"}
    assert ensembles == singles | threes


def test_the_defaults_ask_for_the_least_in_the_largest_budget():
    hp = keras_tuner.HyperParameters()
    SPACE.declare(hp, ("a", "b"))
    settings = SPACE.settings(hp.values)
    assert settings == {
        "budget_params": 4.0,
        "learning_rate": 0.01,
        "tau": -0.5,
        "beta": 0.0,
        "depth_bins": 1,
        "max_templates": 8,
        "members": ("a",),
    }


def test_settings_can_be_read_and_a_count_is_an_integer():
    space = Space(budget_params=(1e4, 1e6), tau=(0.0, 1.0))
    values = {"budget_params": 123456.7, "tau": 1 / 3, "tuner/epochs": 2}
    settings = space.settings(values)
    assert settings == {"budget_params": 123500, "tau": 0.3333}
    assert isinstance(settings["budget_params"], int)


def test_equal_ends_are_one_value():
    space = Space(budget_params=(0.5, 0.5), tau=(0.1, 0.1))
    _, values = drawn(space, num_draws=1)
    assert values == [{"budget_params": 0.5, "tau": 0.1}]


@pytest.mark.parametrize(
    "arguments, told",
    [
        ({}, "must vary something"),
        ({"tau": ()}, "`tau` must be a range.*two numbers"),
        ({"tau": 0.1}, "`tau` must be a range.*0.1"),
        ({"tau": ("a", "b")}, "two numbers"),
        ({"tau": (0.2, 0.1)}, r"`tau`.*low <= high.*\(0.2, 0.1\).*empty"),
        ({"beta": (0.0, float("nan"))}, "`beta`.*low <= high"),
        ({"beta": (-2.0, 0.5)}, "`beta`.*from -1 to 1"),
        ({"budget_params": (0.0, 0.5)}, "log scale.*above 0"),
        ({"budget_params": (0.5, 1e6)}, "fractions.*numbers of scalars"),
        ({"learning_rate": (0.1, float("inf"))}, "finite"),
        ({"depth_bins": ()}, "`depth_bins` must hold at least one"),
        ({"depth_bins": (1, 1)}, "only once"),
        ({"max_templates": (0,)}, "at least 1"),
        ({"num_members": (1.5,)}, "integers"),
        ({"num_members": 2}, "integers to choose from"),
    ],
    ids=str,
)
def test_a_range_or_choice_that_is_none_is_refused(arguments, told):
    with pytest.raises((TypeError, ValueError), match=f"(?s){told}"):
        Space(**arguments)


def test_members_and_their_number_go_together():
    hp = keras_tuner.HyperParameters()
    with pytest.raises(ValueError, match="together"):
        Space(num_members=(1, 2)).declare(hp)
    with pytest.raises(ValueError, match="together"):
        Space(tau=(0.0, 0.1)).declare(hp, ("a",))
