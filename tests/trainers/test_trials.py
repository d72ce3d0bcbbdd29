"""What a trial is: the experiment's config with some values of its own."""

import json
import threading

import pytest

from configs import cifar_swn_he
from configs import digits
from tests.trainers.files import config_of
from trainers.phases import experiment
from trainers.runs.lock import in_turn
from trainers.tuning.hparams import METRICS
from trainers.tuning.trials import Trial
from trainers.tuning.trials import trial_config

SETTINGS = {
    "budget_params": 123_400,
    "learning_rate": 0.05,
    "tau": -0.2,
    "beta": 0.5,
    "depth_bins": 2,
    "max_templates": 3,
    "members": ("b", "a", "b"),
}
MEMBERS = {
    "a": {"model": "wide_resnet", "depth": 10, "width": 1},
    "b": {"model": "wide_resnet", "depth": 16, "width": 1},
}


def test_only_what_is_searched_differs_from_the_experiment():
    base = digits.get_config()
    before = base.to_json()
    config = trial_config(base, SETTINGS, MEMBERS)
    experiment.check(config)
    assert config.is_locked and base.to_json() == before
    expected = base.to_dict()
    expected["budget_params"] = 123_400
    expected["one_network"] = False  # trials are compared with each other
    expected["optimizer"]["learning_rate"] = 0.05
    expected["search"] |= {"tau": -0.2, "beta": 0.5}
    expected["sharing"] |= {"depth_bins": 2, "max_templates": 3}
    expected["members"] = (MEMBERS["b"], MEMBERS["a"], MEMBERS["b"])
    assert config.to_dict() == expected
    config = trial_config(base, {}, {})
    assert config.to_dict() == base.to_dict() | {"one_network": False}
    # Where the search ties clusters, decoupling decides.
    papers = trial_config(cifar_swn_he.get_config(), {"beta": 0.5})
    assert (papers.search.beta, papers.decouple.beta) == (None, 0.5)


def test_with_fewer_epochs_the_whole_run_is_shortened():
    base = cifar_swn_he.get_config().unlock()
    base.optimizer.warmup_epochs = 10
    config = trial_config(base, {}, {}, epochs=50)
    experiment.check(config)
    # A fourth of everything: of 200, 20, 10 and 60, 120, 160.
    assert config.epochs == 50
    assert config.search.pretrain_epochs == 5
    assert config.decouple.epoch == 2
    assert config.optimizer.drop_epochs == (15, 30, 40)
    assert config.optimizer.warmup_epochs == 2
    for epochs in (1, 2, 3, 200):
        config = trial_config(base, {}, {}, epochs=epochs)
        experiment.check(config)
        # No phase is left out.
        assert config.search.pretrain_epochs and config.decouple.epoch
    assert config.to_dict() == base.to_dict()
    # Nor is one added.
    base.search.pretrain_epochs = base.decouple.epoch = 0
    config = trial_config(base, {}, {}, epochs=3)
    assert config.search.pretrain_epochs == config.decouple.epoch == 0


@pytest.fixture
def trial(tmp_path):
    config = trial_config(digits.get_config("quick"), SETTINGS, MEMBERS)
    return Trial(tmp_path / "7", config, ("one", "two", "three"))


def test_the_file_of_a_config_is_that_config(trial):
    with pytest.raises(MemoryError), trial.recorded():
        raise MemoryError
    assert trial.outcome()["status"] == "failed"
    config = config_of(trial.config_file)
    assert config.is_locked
    assert config.to_dict() == trial.config.to_dict()
    # What is not set can be set on the command line, by a value of its type.
    for key, kind in (("data_dir", str), ("size", int)):
        assert config.data[key] is None
        assert config.data.get_type(key) is kind


def test_a_trial_tells_what_it_is(trial):
    others = {"num_members": 3, "members": "one two three", "epochs": 3}
    assert trial.hyperparameters() == SETTINGS | others
    # Also what is not searched, where it is said.
    plain = Trial(trial.directory, digits.get_config(), ("one",))
    assert plain.hyperparameters() == {
        "budget_params": 0.3,
        "learning_rate": 0.1,
        "tau": 0.1,
        "beta": 0.9,
        "num_members": 1,
        "members": "one",
        "epochs": 30,
    }


def test_the_outcome_is_what_the_files_say(trial, tmp_path):
    assert trial.outcome() == {"status": "unfinished"}
    backup = trial.workdir.backup / "epoch-000003"
    backup.mkdir(parents=True)
    (trial.workdir.backup / "epoch-000002").mkdir()
    history = {"val_loss": [3.0, 2.0, 1.0], "seconds": [1, 1, 1]}
    (backup / "history.json").write_text(json.dumps(history))
    assert trial.outcome() == {"status": "unfinished"}
    numbers = {"seed": 0, **dict.fromkeys(METRICS, 0.5)}
    metrics = {"split": "test", "members": [{}], **numbers}
    trial.workdir.metrics.write_text(json.dumps(metrics))
    assert trial.outcome() == {
        "status": "completed",
        "metrics": {"val_loss": 1.0, **numbers},
    }
    failure = {"status": "infeasible", "reason": "too small"}
    trial.failure.write_text(json.dumps(failure))
    assert trial.outcome() == failure


def test_two_processes_with_one_trial_run_it_one_after_the_other(trial):
    began = threading.Event()

    def run():
        with pytest.raises(MemoryError), trial.recorded():
            began.set()
            raise MemoryError

    trial.directory.mkdir()
    other = threading.Thread(target=run)
    with in_turn(trial.directory / "output.txt"):
        other.start()
        assert not began.wait(0.5)
    other.join(60)
    assert began.is_set() and trial.outcome()["status"] == "failed"
