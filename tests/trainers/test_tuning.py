"""A tuning that cannot be is refused before its first trial."""

import functools
import operator

import pytest
from ml_collections import ConfigDict

from configs import digits
from configs import space
from trainers.tuning.trials import SECTIONS
from trainers.tuning.tuning import OBJECTIVES
from trainers.tuning.tuning import Tuning
from trainers.tuning.tuning import direction

ABSENT = "not there"
WRN = {"model": "wide_resnet", "depth": 10, "width": 1}
LENET = {"model": "lenet"}
MIRRORED = {"config.strategy": "mirrored", "config.num_cpus": 2}
INDEPENDENT = {
    "config.sharing": {"rule": "Independent"},
    "config.search.pretrain_epochs": 0,
    "space.tau": ABSENT,
    "space.beta": ABSENT,
}


@pytest.fixture
def define(digits_dir, tmp_path):
    """Makes a `Tuning` of the quick demo, with changes by their place."""

    def define_(changes=()):
        told = {
            "config": digits.get_config("quick").unlock(),
            "space": space.get_config().unlock(),
            "algorithm": "random",
            "objective": "nll",
            "num_trials": 8,
        }
        told["config"].data.data_dir = digits_dir
        for place, value in dict(changes).items():
            *sections, name = place.split(".")
            section = functools.reduce(operator.getitem, sections, told)
            if value is ABSENT:
                del section[name]
            elif isinstance(section, ConfigDict):
                with section.ignore_type():
                    section[name] = value
            else:
                section[name] = value
        path = tmp_path / "tuning"
        try:
            return Tuning(path=path, **told)
        finally:
            assert not path.exists()

    return define_


def test_the_space_of_the_repository_is_one_of_the_demo(define):
    tuning = define()
    assert tuning.direction == "min"
    assert tuning.config.data.validation_fraction == 0.1
    sizes = ("10_1", "10_2", "16_1", "16_2")
    assert set(tuning.members) == {f"wide_resnet_{size}" for size in sizes}
    assert set(tuning.varied) == {*SECTIONS, "members", "num_members"}
    # A validation part is kept if there is one.
    tuning = define({"config.data.validation_fraction": 0.3})
    assert tuning.config.data.validation_fraction == 0.3


def test_objectives_know_their_direction():
    for name in OBJECTIVES:
        better = "accuracy" in name or name == "diversity"
        assert direction(name, 2) == ("max" if better else "min")
    assert direction("val_member_1_accuracy", 2) == "max"
    assert direction("val_member_0_loss", 2) == "min"


@pytest.mark.parametrize(
    "objective, num_members, told",
    [
        ("f1", 2, "'accuracy'.*'nll'.*'val_member_1_loss'.*'f1'"),
        ("val_member_2_loss", 2, "val_member_1_loss"),
        # Alone, there is nothing to differ from.
        ("val_member_0_loss", 1, "'val_loss'"),
        ("diversity", 1, "'accuracy', 'ece'"),
    ],
)
def test_what_not_every_trial_has_is_no_objective(objective, num_members, told):
    with pytest.raises(ValueError, match=f"`--objective`.*{told}"):
        direction(objective, num_members)


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"algorithm": "grid"}, "'bayesian'.*: 'grid'"),
        ({"objective": "f1"}, "`--objective` must be one of.*'nll'.*'f1'"),
        # A trial may have one member.
        ({"objective": "diversity"}, "`--objective` must be one of"),
        ({"num_trials": 0}, "`--trials`.*positive.*0"),
        ({"num_trials": None}, "`--trials`.*None"),
        ({"algorithm": "hyperband"}, "follows from `config.epochs`.*8"),
        ({"space.budget": (0.1, 1.0)}, "keys of.*unknown 'budget'"),
        ({"space.tau": (0.3, 0.1)}, "`tau`.*empty"),
        ({"space.depth_bins": ()}, "`depth_bins`.*at least one"),
        ({"space.members": ()}, "given together"),
        ({"space.num_members": ABSENT}, "given together"),
        ({"space.members": (WRN, WRN)}, "name of its own.*`name`"),
        ({"space.members": (LENET,)}, r"members\[0\].model.*'lenet'"),
        ({"config.search.pretrain_epochs": 0}, "tau` has no.*pretrain_epochs"),
        ({"config.search.beta": None}, "beta` has no effect.*decouple.epoch"),
        (INDEPENDENT, "`space.depth_bins` has no effect.*'Independent'"),
        (MIRRORED, "one device each.*'mirrored'"),
        ({"config.data.name": "mnist"}, "already prepared"),
        ({"config.epochs": 0}, "`config.epochs`"),
    ],
    ids=str,
)
def test_what_cannot_be_tuned_is_refused(define, changes, told):
    with pytest.raises((TypeError, ValueError), match=f"(?s){told}"):
        define(changes)
