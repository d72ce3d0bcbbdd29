"""The programs as a user runs them, and kills them."""

import functools
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

import keras_superweights as ksw
import trainers
from tests.trainers.files import run_program

ROOT = pathlib.Path(__file__).parents[2]
TINY = [
    "--config=configs/digits.py:quick",
    "--config.data.train_split=train[:128]",
    "--config.data.test_split=test[:50]",
    "--config.data.batch_size=32",
    "--config.members=({'model': 'wide_resnet', 'depth': 10, 'width': 1},)",
    "--config.budget_params=0.9",
    "--config.search.pretrain_epochs=2",
]


def start(program, *arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", f"trainers.{program}", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def finish(process):
    output, errors = process.communicate(timeout=300)
    return process.returncode, output, errors


def state(workdir):
    """Weights and optimizer slots of the last backup."""
    (file,) = workdir.glob("backup/epoch-*/state.weights.h5")
    arrays = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            arrays[name] = item[()]

    with h5py.File(file) as archive:
        archive.visititems(visit)
    return arrays


def assert_same_state(found, expected, atol=0):
    found, expected = state(found), state(expected)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, 0, atol, err_msg=name)


def kill_when(killed, reached, workdir, others=()):
    """Kills a process when its run has left a file; none has ended before."""
    while not list(workdir.glob(reached)):
        for process in (killed, *others):
            assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert not (workdir / "metrics.json").exists()


def measured(workdir):
    """The metrics of a run, but for times."""
    metrics = json.loads((workdir / "metrics.json").read_text())
    del metrics["seconds"]
    for point in metrics["anytime"]:
        del point["milliseconds"]
    return metrics


DEVICES = {
    "one": [],
    "two": ["--config.strategy=mirrored", "--config.num_cpus=2"],
}


@pytest.fixture(scope="module")
def never(digits_dir, tmp_path_factory):
    """The directory of a run that is never killed, by its devices."""

    @functools.cache
    def run(devices):
        workdir = tmp_path_factory.mktemp("never") / devices
        arguments = [f"--config.data.data_dir={digits_dir}"]
        arguments += [*DEVICES[devices], f"--workdir={workdir}"]
        code, output, errors = finish(start("train", *TINY, *arguments))
        assert code == 0, errors
        assert "member 0, wide_resnet_10_1" in output
        assert "epoch 3/3" in output
        assert "test[:50]: accuracy" in output
        return workdir

    return run


# What a run has left when it is killed.
IN_SEARCH = "search/backup/epoch-000001"
BEFORE_FIRST_EPOCH = "allocation.json"
AFTER_DECOUPLING = "backup/epoch-00000[12]"


@pytest.mark.parametrize(
    "devices, kills",
    [
        ("one", [IN_SEARCH, BEFORE_FIRST_EPOCH, AFTER_DECOUPLING]),
        ("two", [AFTER_DECOUPLING]),
    ],
)
def test_killed_and_continued_it_ends_the_same(
    devices, kills, never, digits_dir, tmp_path
):
    arguments = [*TINY, *DEVICES[devices]]
    arguments += [f"--config.data.data_dir={digits_dir}"]
    killed = tmp_path / "killed"
    arguments += [f"--workdir={killed}"]
    for reached in kills:
        kill_when(start("train", *arguments), reached, killed)

    code, output, errors = finish(start("train", *arguments))
    assert code == 0, errors
    assert "search" not in output.split("member 0")[0]
    assert "epoch 1/3" not in output and "epoch 3/3" in output
    assert len(state(killed)) > 50
    assert_same_state(killed, never(devices))
    for file in ("allocation.json", "search/similarities.npz"):
        expected = (never(devices) / file).read_bytes()
        assert (killed / file).read_bytes() == expected, file
    assert measured(killed) == measured(never(devices))


def start_workers(configs, scratch, *arguments):
    """Two workers, whose private files are in a directory."""
    scratch.mkdir()
    arguments += ("--config.strategy=multi_worker",)
    return [
        start("train", *arguments, TMPDIR=str(scratch), TF_CONFIG=config)
        for config in configs
    ]


def test_a_lost_worker_ends_the_other_and_both_go_on(
    never, two_workers, digits_dir, tmp_path
):
    killed = tmp_path / "killed"
    arguments = [*TINY, f"--config.data.data_dir={digits_dir}"]
    arguments += [f"--workdir={killed}"]
    chief, worker = start_workers(two_workers(), tmp_path / "first", *arguments)
    kill_when(worker, IN_SEARCH, killed, others=[chief])
    code, output, errors = finish(chief)
    assert code == 1
    assert "worker 0 of 2 waits for 127.0.0.1:" in output
    assert re.search(
        "A worker is gone.*backup of epoch 1 of the search is kept.*"
        "Start all workers again, by the same command",
        errors,
    )
    assert "Traceback" not in errors

    again = start_workers(two_workers(), tmp_path / "again", *arguments)
    for process in again:
        code, output, errors = finish(process)
        assert code == 0, errors
        assert "search 1/2" not in output and "search 2/2" in output
        assert "epoch 3/3" in output
    # As two replicas of one process, which normalise equal halves of batches.
    assert_same_state(killed, never("two"), atol=1e-4)
    text = (never("two") / "allocation.json").read_text()
    assert (killed / "allocation.json").read_text() == text
    assert measured(killed)["accuracy"] == measured(never("two"))["accuracy"]
    # One worker has written, and the other has left nothing.
    assert files(killed) == files(never("two"))
    assert list((tmp_path / "again").iterdir()) == []


def files(workdir):
    """The places of a run's files, logs counted."""
    return sorted(
        str(file.relative_to(workdir)).split(".tfevents")[0]
        for file in workdir.rglob("*")
        if file.is_file()
    )


def test_plan_prints_totals_and_writes_the_allocation(tmp_path, capsys):
    file = tmp_path / "allocation.json"
    members = "({'model': 'wide_resnet', 'depth': 76, 'width': 12},)"
    assert not run_program(
        "plan",
        f"--config={ROOT}/configs/cifar_swn_he.py",
        f"--config.members={members}",
        "--config.budget_params=21e6",
        f"--json={file}",
    )
    output = capsys.readouterr().out
    allocation = ksw.Allocation.from_json(file.read_text())
    assert allocation.num_params <= 21_000_000
    assert f"{allocation.num_params:,} trainable scalars" in output
    assert "wide_resnet_76_12: 164,106,804 parameters" in output
    # Plain SGD with momentum: three of them, and as much again by float32.
    assert re.search(r"^parameters +[\d.]+ MiB +626.0 MiB", output, re.M)
    assert re.search(r"^optimizer +[\d.]+ MiB +626.0 MiB", output, re.M)
    assert list(tmp_path.iterdir()) == [file]


def test_what_is_refused_ends_with_its_message_alone():
    code, output, errors = finish(start("evaluate", "--workdir=nowhere"))
    assert (code, output) == (1, "")
    assert re.search("nowhere, which has no config", errors)
    assert "Traceback" not in errors
    assert len(errors.splitlines()) <= 5


@pytest.mark.parametrize(
    ("program", "arguments", "message"),
    [
        ("plan", [*TINY, "--config.budget_params=0.01"], "smallest budget"),
        ("train", ["--config=nowhere.py", "--workdir=x"], "No such.*nowhere"),
        ("export", ["--workdir=nowhere"], "nowhere, which has no model.keras"),
        ("sensitivity", [*TINY, "--study=a", "--workdir=x"], "`--study` must"),
        ("tune", [*TINY, "--workdir=x", "--trials=0"], "`--trials` must be"),
    ],
)
def test_every_program_ends_with_the_message_of_a_refusal(
    program, arguments, message, capsys, monkeypatch
):
    monkeypatch.chdir(ROOT)
    assert re.search(message, run_program(program, *arguments))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("module", "error", "is_refusal"),
    [
        ("keras_superweights.export", ValueError("no"), True),
        ("configs.digits", ValueError("no"), True),
        ("ml_collections.config_flags", OSError("no"), True),
        ("keras_superweights.export", KeyError("no"), False),
        ("keras_superweights.export", OSError("no"), False),
        ("keras.src.losses", ValueError("no"), False),
        ("ml_collections.config_flags", ValueError("no"), False),
    ],
)
def test_errors_that_refuse_nothing_keep_their_traceback(
    module, error, is_refusal, monkeypatch
):
    names = {"__name__": module, "error": error}
    exec("def fail(main):\n    raise error", names)
    monkeypatch.setattr(trainers.app, "run", names["fail"])
    expected = SystemExit if is_refusal else type(error)
    with pytest.raises(expected, match="no"):
        trainers.run(None)


def test_an_unknown_key_on_the_command_line_names_a_near_one(monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(AttributeError, match='Did you mean "budget_params"'):
        run_program("plan", *TINY, "--config.budget_param=3", "--json=x")
