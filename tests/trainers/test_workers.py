"""The directories of workers, without the workers.

Two real ones train in `test_programs.py`.
"""

import types

import pytest
import tensorflow as tf

from keras_superweights.files import write_json
from tests.trainers import files
from trainers.runs import workers
from trainers.runs.workdir import Workdir

CHIEF, OTHER = (
    types.SimpleNamespace(
        extended=types.SimpleNamespace(should_checkpoint=index == 0),
        cluster_resolver=types.SimpleNamespace(
            task_type="worker", task_id=index
        ),
    )
    for index in (0, 1)
)


@pytest.fixture
def exchanged(monkeypatch):
    """The numbers that a worker has told; the others tell the same."""
    numbers = []

    def tell(strategy, number):
        numbers.append(number)
        return [number, number]

    monkeypatch.setattr(workers, "is_multi_worker", lambda strategy: True)
    monkeypatch.setattr(workers, "_of_all_workers", tell)
    return numbers


@pytest.fixture
def resumed(tiny_config, tmp_path):
    """The directory of a run that can be continued."""
    workdir = Workdir(tmp_path / "run")
    workdir.open(tiny_config)
    workdir.allocation.write_text("{}")
    epoch = workdir.backup / "epoch-000002"
    epoch.mkdir(parents=True)
    (epoch / "state.weights.h5").write_text("weights")
    write_json(epoch / "history.json", {"seconds": [1.0, 1.0]})
    workdir.logs.mkdir()
    (workdir.logs / "events").write_text("told")
    return workdir


def contents(path):
    found = files.contents(path)
    return {str(p.relative_to(path)): found[p] for p in found}


def test_one_worker_or_the_chief_works_in_the_directory(
    request, tiny_config, tmp_path
):
    for name, strategy in (
        ("one", tf.distribute.get_strategy()),
        ("two", CHIEF),
    ):
        if strategy is CHIEF:
            request.getfixturevalue("exchanged")
        workdir = Workdir(tmp_path / name)
        with workers.own_workdir(strategy, workdir, tiny_config) as own:
            assert own is workdir and workdir.config.exists()


def test_others_work_in_a_copy_that_is_removed(exchanged, resumed, tiny_config):
    before = contents(resumed.path)
    with workers.own_workdir(CHIEF, resumed, tiny_config):
        pass
    with workers.own_workdir(OTHER, resumed, tiny_config) as own:
        assert own.path != resumed.path
        copied = contents(own.path)
        # Whatever it does there stays there.
        (own.backup / "epoch-000003").mkdir()
        own.logs.mkdir()
    assert not own.path.exists()
    assert contents(resumed.path) == before
    del before["logs/events"]
    assert copied == before
    # Both have told the same of what there is to resume from.
    assert exchanged[:3] == exchanged[3:] and exchanged[2] != 0


def test_the_chief_opens_when_all_are_there_and_others_then(
    monkeypatch, tiny_config, tmp_path
):
    workdir = Workdir(tmp_path / "new")
    seen = []

    def tell(strategy, number):
        seen.append((strategy is CHIEF, workdir.config.exists()))
        if strategy is OTHER and len(seen) == 2:
            workdir.open(tiny_config)  # as the chief does meanwhile
        return [number, number]

    monkeypatch.setattr(workers, "is_multi_worker", lambda strategy: True)
    monkeypatch.setattr(workers, "_of_all_workers", tell)
    with workers.own_workdir(OTHER, workdir, tiny_config):
        pass
    assert seen == [(False, False), (False, False), (False, True)]


def test_the_chief_locks_the_directory_for_all_of_its_workers(
    exchanged, resumed, tiny_config
):
    with workers.own_workdir(CHIEF, resumed, tiny_config):
        with workers.own_workdir(OTHER, resumed, tiny_config) as own:
            assert own.path != resumed.path
        with (
            pytest.raises(ValueError, match="in use by process"),
            workers.own_workdir(CHIEF, resumed, tiny_config),
        ):
            pass


def refuse(workdir, config, told):
    with (
        pytest.raises(ValueError, match=told),
        workers.own_workdir(OTHER, workdir, config),
    ):
        pass


def test_another_directory_or_config_is_refused(
    exchanged, resumed, tiny_config, tmp_path
):
    workdir = Workdir(tmp_path / "elsewhere")
    refuse(workdir, tiny_config, "elsewhere.*config.json of the chief")
    assert not workdir.path.exists()
    tiny_config.epochs = 7
    refuse(resumed, tiny_config, "epochs: 2 -> 7")


def test_a_worker_that_sees_an_older_backup_is_refused(
    monkeypatch, resumed, tiny_config
):
    newer = workers._digest(resumed)
    (resumed.backup / "epoch-000002").rename(resumed.backup / "epoch-000001")
    assert workers._digest(resumed) != newer
    monkeypatch.setattr(workers, "is_multi_worker", lambda strategy: True)
    monkeypatch.setattr(
        workers, "_of_all_workers", lambda _, number: [newer, newer, number]
    )
    refuse(resumed, tiny_config, r"`--workdir`.*workers \[2\]")


GONE = (
    "Graph execution error, on /job:worker/replica:0/task:0:\n\n"
    "Collective ops is aborted by: Connection reset by peer\n"
    "Additional information from remote target "
    "/job:worker/replica:0/task:1 while calling\n"
)


def lose(workdir, message, strategy=CHIEF):
    with workers._told_of_losses(strategy, workdir):
        raise tf.errors.UnavailableError(None, None, message)


def test_a_loss_is_told_with_what_is_kept(resumed):
    with pytest.raises(
        ConnectionError,
        match=r"gone \(worker 1\), .*Connection reset by peer. The backup of "
        "epoch 2 of the training is kept.*same command",
    ):
        lose(resumed, GONE)
    resumed.backup.rename(resumed.path / "away")
    with pytest.raises(ConnectionError, match="gone, .*no backup yet"):
        lose(resumed, GONE, OTHER)  # which is named, but not gone


def test_other_errors_of_tensorflow_stay_as_they_are(resumed):
    with pytest.raises(tf.errors.UnavailableError):
        lose(resumed, "something else")
