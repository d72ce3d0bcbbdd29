"""The programs as a user runs them, and kills them."""

import json
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


def start(program, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", f"trainers.{program}", *arguments],
        cwd=ROOT,
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
    with h5py.File(file) as archive:
        archive.visititems(
            lambda name, item: (
                arrays.update({name: item[()]})
                if isinstance(item, h5py.Dataset)
                else None
            )
        )
    return arrays


# What a run has left when it is killed.
IN_SEARCH = "search/backup/epoch-000001"
BEFORE_FIRST_EPOCH = "allocation.json"
AFTER_DECOUPLING = "backup/epoch-00000[12]"


@pytest.mark.parametrize(
    "devices, kills",
    [
        ("one", [IN_SEARCH, BEFORE_FIRST_EPOCH, AFTER_DECOUPLING]),
        ("two", [IN_SEARCH, AFTER_DECOUPLING]),
    ],
    ids=["one", "two"],
)
def test_killed_and_continued_it_ends_the_same(
    devices, kills, digits_dir, tmp_path
):
    arguments = [*TINY, f"--config.data.data_dir={digits_dir}"]
    if devices == "two":
        arguments += ["--config.strategy=mirrored", "--config.num_cpus=2"]

    never = start("train", *arguments, f"--workdir={tmp_path / 'never'}")
    code, output, errors = finish(never)
    assert code == 0, errors
    assert "member 0, wide_resnet_10_1" in output
    assert "epoch 3/3" in output

    killed = tmp_path / "killed"
    for reached in kills:
        process = start("train", *arguments, f"--workdir={killed}")
        while not list(killed.glob(reached)):
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not (killed / "metrics.json").exists()

    again = start("train", *arguments, f"--workdir={killed}")
    code, output, errors = finish(again)
    assert code == 0, errors
    assert "search" not in output.split("member 0")[0]
    assert "epoch 1/3" not in output and "epoch 3/3" in output
    expected, found = state(tmp_path / "never"), state(killed)
    assert expected.keys() == found.keys() and len(expected) > 50
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, name)
    for file in ("allocation.json", "search/similarities.npz"):
        expected, found = (
            (tmp_path / run / file).read_bytes() for run in ("never", "killed")
        )
        assert expected == found, file
    runs = [
        json.loads((tmp_path / run / "metrics.json").read_text())
        for run in ("never", "killed")
    ]
    for metrics in runs:
        del metrics["seconds"]
        for point in metrics["anytime"]:
            del point["milliseconds"]
    assert runs[0] == runs[1]


def test_plan_prints_totals_and_writes_the_allocation(tmp_path):
    file = tmp_path / "allocation.json"
    members = "({'model': 'wide_resnet', 'depth': 76, 'width': 12},)"
    code, output, errors = finish(
        start(
            "plan",
            "--config=configs/cifar_swn_he.py",
            f"--config.members={members}",
            "--config.budget_params=21e6",
            f"--json={file}",
        )
    )
    assert code == 0, errors
    allocation = ksw.Allocation.from_json(file.read_text())
    assert allocation.num_params <= 21_000_000
    assert f"{allocation.num_params:,} trainable scalars" in output
    assert "wide_resnet_76_12: 164,106,804 parameters" in output
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("program", "arguments", "message"),
    [
        ("plan", ["--config=nowhere.py"], "No such file.*nowhere.py"),
        ("plan", [*TINY, "--config.budget_params=0.01"], "smallest budget"),
        ("train", ["--config=nowhere.py", "--workdir=x"], "No such file"),
        ("evaluate", ["--workdir=nowhere"], "nowhere, which has no config"),
        ("export", ["--workdir=nowhere"], "nowhere, which has no model.keras"),
    ],
)
def test_what_is_refused_ends_with_its_message_alone(
    program, arguments, message
):
    code, output, errors = finish(start(program, *arguments))
    assert code == 1
    assert re.search(message, errors)
    assert "Traceback" not in errors
    assert len(errors.splitlines()) <= 5
    assert output == ""


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


def test_an_unknown_key_on_the_command_line_names_a_near_one(tmp_path):
    code, _, errors = finish(
        start("plan", *TINY, "--config.budget_param=3", "--json=x")
    )
    assert code != 0
    assert 'Did you mean "budget_params"' in errors
