"""The programs as a user runs them, and kills them."""

import functools
import pathlib
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import keras_superweights as ksw
import trainers
from benchmarks import kills
from keras_superweights.callbacks import inspector
from tests.trainers.files import run_program
from tests.trainers.programs import Program

ROOT = pathlib.Path(__file__).parents[2]
TINY = [
    f"--config={ROOT}/configs/digits.py:quick",
    "--config.data.train_split=train[:128]",
    "--config.data.test_split=test[:50]",
    "--config.data.batch_size=32",
    "--config.members=({'model': 'wide_resnet', 'depth': 10, 'width': 1},)",
    "--config.budget_params=0.9",
    "--config.search.pretrain_epochs=2",
]


def typed(program, *arguments):
    """How the command of a user ends, and what it prints."""
    command = [sys.executable, "-m", f"trainers.{program}", *arguments]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return ran.returncode, ran.stdout, ran.stderr


def start(*arguments, **environment):
    return Program(train, *arguments, **environment)


def train(*arguments):
    """The program without figures, which take a third of its time."""
    inspector._write_images = lambda *_: None
    return run_program("train", *arguments)


@pytest.fixture
def tiny(digits_dir, tmp_path):
    """The arguments of a run in `tmp_path / "killed"`."""
    place = [f"--config.data.data_dir={digits_dir}"]
    return [*TINY, *place, f"--workdir={tmp_path}/killed"]


@pytest.fixture(scope="module")
def never(digits_dir, tmp_path_factory):
    """The directory of a run that is never killed, by its devices."""

    @functools.cache
    def run(devices):
        workdir = tmp_path_factory.mktemp("never") / devices
        arguments = [*TINY, f"--config.data.data_dir={digits_dir}"]
        arguments += [*kills.DEVICES[devices], f"--workdir={workdir}"]
        if devices == "one replica":
            code, output, errors = typed("train", *arguments)
        else:
            code, output, errors = start(*arguments).finish()
        assert code == 0, errors
        assert "member 0, wide_resnet_10_1" in output
        assert "epoch 3/3" in output
        assert "test[:50]: accuracy" in output
        return workdir

    return run


def leaves(workdir, file):
    return lambda: list(workdir.glob(file))


# What a run has left when it is killed.
IN_SEARCH = "search/backup/epoch-000001"
BEFORE_FIRST_EPOCH = "allocation.json"
IN_TRAINING = "backup/epoch-00000[12]"
IN_ONE_NETWORK = "one_network/backup/epoch-00000[12]"


@pytest.mark.parametrize(
    "devices, files",
    [
        (
            "one replica",
            [IN_SEARCH, BEFORE_FIRST_EPOCH, IN_TRAINING, IN_ONE_NETWORK],
        ),
        ("two replicas", [IN_TRAINING]),
    ],
)
def test_killed_and_continued_it_ends_the_same(
    devices, files, never, tiny, tmp_path
):
    killed = tmp_path / "killed"
    arguments = [*tiny, *kills.DEVICES[devices]]
    *in_others, in_last = files
    for file in in_others:
        start(*arguments).kill_when(leaves(killed, file))
        assert not (killed / "metrics.json").exists()
    program = start(*arguments)
    program.kill_when(leaves(killed, in_last), number=signal.SIGINT)
    code, _, errors = program.finish()
    assert code == 130
    assert re.fullmatch("Interrupted. .* the same command goes on.\n", errors)
    left = [path.name for path in killed.rglob("*")]
    assert not {"metrics.json", "lock"} & set(left)
    assert not any(name.startswith("unfinished-") for name in left)

    code, output, errors = start(*arguments).finish()
    assert code == 0, errors
    assert "search" not in output.split("member 0")[0]
    assert "epoch 1/3" not in output.split("One network")[0]
    assert "epoch 3/3" in output
    found, expected = kills.outcome(killed), kills.outcome(never(devices))
    assert len(expected) > 50
    assert kills.differences(found, expected) == []


def start_workers(configs, scratch, *arguments):
    """Two workers, whose private files are in a directory."""
    scratch.mkdir()
    arguments += ("--config.strategy=multi_worker",)
    return [
        start(*arguments, TMPDIR=str(scratch), TF_CONFIG=config)
        for config in configs
    ]


def test_a_lost_worker_ends_the_other_and_both_go_on(
    never, two_workers, tiny, tmp_path
):
    killed = tmp_path / "killed"
    chief, worker = start_workers(two_workers(), tmp_path / "first", *tiny)
    worker.kill_when(leaves(killed, IN_SEARCH), others=[chief])
    code, output, errors = chief.finish()
    assert code == 2
    assert "worker 0 of 2 waits for 127.0.0.1:" in output
    assert re.search(
        "A worker is gone.*backup of epoch 1 of the search is kept.*"
        "Start all workers again, by the same command",
        errors,
    )
    assert "Traceback" not in errors

    again = start_workers(two_workers(), tmp_path / "again", *tiny)
    for program in again:
        code, output, errors = program.finish()
        assert code == 0, errors
        assert "search 1/2" not in output and "search 2/2" in output
        assert "epoch 3/3" in output
    # As two replicas of one process, which normalise equal halves of batches.
    found, expected = map(kills.outcome, (killed, never("two replicas")))
    assert found.keys() == expected.keys()
    assert found.pop("allocation") == expected.pop("allocation")
    one, other = found.pop("metrics"), expected.pop("metrics")
    assert one["accuracy"] == other["accuracy"]
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, 0, 1e-4, err_msg=name)
    # One worker has written, and the other has left nothing.
    assert paths(killed) == paths(never("two replicas"))
    assert list((tmp_path / "again").iterdir()) == []


def paths(workdir):
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
    code, output, errors = typed("evaluate", "--workdir=nowhere")
    assert (code, output) == (2, "")
    assert re.search("nowhere, which has no config", errors)
    assert "Traceback" not in errors
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize(
    ("program", "arguments", "message"),
    [
        ("plan", [*TINY, "--config.budget_params=0.01"], "smallest budget"),
        ("train", ["--config=nowhere.py", "--workdir=x"], "No such.*nowhere"),
        ("plan", [f"--config={ROOT}"], "Is a directory"),
        ("export", ["--workdir=nowhere"], "nowhere, which has no model.keras"),
        ("sensitivity", [*TINY, "--study=a", "--workdir=x"], "`--study` must"),
        ("tune", [*TINY, "--workdir=x", "--trials=0"], "`--trials` must be"),
    ],
)
def test_every_program_ends_with_the_message_of_a_refusal(
    program, arguments, message, capsys
):
    assert run_program(program, *arguments) == 2
    output, errors = capsys.readouterr()
    assert re.search(message, errors) and output == ""


@pytest.mark.parametrize(
    ("content", "arguments", "told"),
    [
        ("def get_config(:", [], "SyntaxError: invalid syntax .config.py, l"),
        ("import nowhere", [], "ModuleNotFoundError: No module named 'nowhere"),
        ("x = 1", [], "has no attribute 'get_config'"),
        ("def get_config():\n    return 1 / 0", [], "ZeroDivisionError: divis"),
        (
            "def get_config():\n    return None",
            [],
            "--config must have a value",
        ),
        (
            "def get_config():\n    return 3",
            [],
            "'int' object has no attribute",
        ),
        (None, [":slow"], "must be 'few' or 'quick'. Received: 'slow'"),
        (None, ["", "--config.budget_param=3"], 'Did you mean "budget_params"'),
        (None, ["", "--config.members=5"], r"members\[0\].model` must be one"),
        (None, ["", "--config.epochs=many"], "epochs=many: invalid literal"),
        (None, ["", "--config.data=5"], "data=5: .*not a dict"),
        (None, ["", "--epochs=3"], "Unknown command line flag 'epochs'"),
        (None, ["", "more"], r"Flags begin with `--`. Received: \['more'\]"),
        (None, ["", "--workdir="], "workdir"),
        (None, ["", "--workdir={file}"], "directory. Received: .*, which is a"),
        (None, ["", "--workdir={file}/below"], "Not a directory: '.*/below'"),
        (None, ["", "--config.data.data_dir={file}"], "Not a directory"),
        (None, ["", "--workdir=/proc/mine"], "No such file.* '/proc/mine'"),
    ],
)
def test_a_command_line_that_cannot_be_ends_in_one_line_and_leaves_nothing(
    content, arguments, told, tmp_path, capsys
):
    file = tmp_path / "config.py"
    file.write_text(content or (ROOT / "configs" / "digits.py").read_text())
    variant, *more = arguments or [""]
    more = [each.format(file=file) for each in more]
    config = [f"--config={file}{variant}", f"--workdir={tmp_path}/new"]
    assert run_program("train", *config, *more) == 2
    output, errors = capsys.readouterr()
    assert re.search(told, errors) and output == ""
    assert len(errors.splitlines()) == 1
    assert list(tmp_path.iterdir()) == [file]


NO_SPACE = "DIR/file; No space left on device"


@pytest.mark.parametrize(
    ("module", "error", "status"),
    [
        ("keras_superweights.export", ValueError("no"), 2),
        ("keras_superweights.export", TypeError("no"), 2),
        ("configs.digits", ValueError("no"), 2),
        ("keras.src.saving", OSError(28, NO_SPACE), 2),
        (
            "tensorflow",
            tf.errors.UnknownError(None, None, "no"),
            1,
        ),
        ("tensorflow", tf.errors.UnknownError(None, None, NO_SPACE), 2),
        ("keras_superweights.export", KeyError("no"), 1),
        ("keras_superweights.export", OSError("no"), 1),
        ("keras.src.losses", ValueError("no"), 1),
        ("ml_collections.config_flags", ValueError("no"), 1),
        ("trainers", KeyboardInterrupt("no"), 130),
    ],
    ids=repr,
)
def test_errors_that_refuse_nothing_keep_their_traceback(
    module, error, status, monkeypatch, capsys
):
    names = {"__name__": module, "error": error}
    exec("def fail(*_, **flags_parser):\n    raise error", names)
    monkeypatch.setattr(trainers.app, "run", names["fail"])
    expected = type(error) if status == 1 else SystemExit
    with pytest.raises(expected) as raised:
        trainers.run(None)
    if status != 1:
        assert raised.value.code == status
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_what_python_refuses_in_our_code_is_a_defect(monkeypatch):
    names = {"__name__": "trainers.train"}
    exec("def fail(*_, **flags_parser):\n    return None + 1", names)
    monkeypatch.setattr(trainers.app, "run", names["fail"])
    with pytest.raises(TypeError, match="unsupported operand"):
        trainers.run(None)
