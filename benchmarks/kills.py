"""Kills runs at random moments; they must end like one never killed.

    python benchmarks/kills.py --kills 20

A tiny run of `trainers.train` with all its phases (search, training with
decoupling, evaluation), in deterministic mode, on one replica and on two
(MirroredStrategy on logical CPUs). One is never killed. Another one is sent
SIGKILL again and again, each time after a random part of the time that a whole
run takes, and started again by the same command; one that ends before its time
is up is compared, and a new one begun. The moments are spread evenly over the
time that a run takes, in random order.

Compared, exactly: weights and optimizer slots, the allocation with its ties,
similarities, and what was measured but for times. Prints a table and writes
everything to --json.
"""

import argparse
import collections
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

import h5py
import numpy as np

ROOT = pathlib.Path(__file__).parents[1]
RUN = [
    "--config=configs/digits.py:quick",
    "--config.data.train_split=train[:128]",
    "--config.data.test_split=test[:50]",
    "--config.data.batch_size=32",
    "--config.members=({'model': 'wide_resnet', 'depth': 10, 'width': 1,"
    " 'name': 'one'}, {'model': 'wide_resnet', 'depth': 10, 'width': 1,"
    " 'name': 'other'})",
    "--config.budget_params=0.8",
    "--config.search.pretrain_epochs=3",
    "--config.epochs=5",
]
DEVICES = {
    "one replica": [],
    "two replicas": ["--config.strategy=mirrored", "--config.num_cpus=2"],
}
LAST_EPOCH = "epoch-000005"
TIMES = ("seconds", "milliseconds")


def start(arguments, workdir):
    """Starts the run, or continues it."""
    return subprocess.Popen(
        [sys.executable, "-m", "trainers.train", *arguments]
        + [f"--workdir={workdir}"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    """Waits for a run that must succeed."""
    _, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(f"The run failed:\n{errors}")


def phase(workdir):
    """What a run was at, from the files it has."""
    trained = [p.name for p in workdir.glob("backup/epoch-*")]
    pretrained = [p.name for p in workdir.glob("search/backup/epoch-*")]
    if not (workdir / "config.json").exists():
        return "start"
    if not (workdir / "search" / "similarities.npz").exists():
        return "search" if pretrained else "search, first epoch"
    if not trained:
        return "training, first epoch"
    return "end" if LAST_EPOCH in trained else "training"


def outcome(workdir):
    """Everything that must be equal: dict from a name to an array or value."""
    found = {}
    (backup,) = workdir.glob("backup/epoch-*/state.weights.h5")
    with h5py.File(backup) as archive:
        archive.visititems(
            lambda name, item: (
                found.update({name: item[()]})
                if isinstance(item, h5py.Dataset)
                else None
            )
        )
    with np.load(workdir / "search" / "similarities.npz") as stored:
        found.update({f"similarity of {name}": stored[name] for name in stored})
    text = (workdir / "allocation.json").read_text()
    metrics = json.loads((workdir / "metrics.json").read_text())
    return found | {"allocation": text, "metrics": _without_times(metrics)}


def _without_times(data):
    if isinstance(data, dict):
        return {k: _without_times(v) for k, v in data.items() if k not in TIMES}
    return [*map(_without_times, data)] if isinstance(data, list) else data


def differences(one, other):
    """Names of what is not equal."""
    return sorted(
        name
        for name in one.keys() | other.keys()
        if name not in one
        or name not in other
        or not np.array_equal(one[name], other[name])
    )


def kill_at(moments, duration, arguments, directory):
    """Kills runs at these moments.

    Args:
        moments: Fractions of the time that a whole run takes.
        duration: That time in seconds, at first; the machine's load changes.

    Returns:
        `(phases of the kills, outcomes of the runs)`.
    """
    phases = []
    outcomes = []
    waiting = list(moments)
    workdir = directory / "killed-0"
    while waiting:
        is_new = not workdir.exists()
        began = time.perf_counter()
        process = start(arguments, workdir)
        try:
            process.communicate(timeout=waiting[0] * duration)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            phases.append(phase(workdir))
            waiting.pop(0)
            continue
        if is_new:
            duration = time.perf_counter() - began
        finish(process)
        outcomes.append(outcome(workdir))
        workdir = directory / f"killed-{len(outcomes)}"
    finish(start(arguments, workdir))
    return phases, [*outcomes, outcome(workdir)]


def measure(arguments, num_kills, seed, directory):
    """One run that is never killed, and those that are."""
    began = time.perf_counter()
    finish(start(arguments, directory / "never"))
    duration = time.perf_counter() - began
    draw = random.Random(seed)
    moments = [
        (place + draw.random()) / num_kills for place in range(num_kills)
    ]
    draw.shuffle(moments)
    phases, outcomes = kill_at(moments, duration, arguments, directory)
    expected = outcome(directory / "never")
    return {
        "seconds": duration,
        "moments": moments,
        "phases": phases,
        "arrays": len(expected) - 2,
        "differences": [differences(expected, each) for each in outcomes],
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--kills", default=20, type=int)
    parser.add_argument("--seed", default=0, type=int)
    parser.add_argument("--json", default="kills.json", type=pathlib.Path)
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    results = {}
    for name, options in DEVICES.items():
        with tempfile.TemporaryDirectory() as directory:
            directory = pathlib.Path(directory)
            run = [*RUN, f"--config.data.data_dir={directory / 'digits'}"]
            results[name] = result = measure(
                [*run, *options], arguments.kills, arguments.seed, directory
            )
        arguments.json.write_text(json.dumps(results, indent=1))
        unequal = sum(map(bool, result["differences"]))
        print(
            f"{name}: {len(result['phases'])} kills, "
            f"{len(result['differences'])} runs ended, {unequal} of them "
            f"otherwise than the one never killed ({result['seconds']:.0f} "
            f"seconds, {result['arrays']} arrays)"
        )
        for place, times in collections.Counter(result["phases"]).items():
            print(f"    killed in {place:<22} {times:>3}")
        print(flush=True)
    if any(any(r["differences"]) for r in results.values()):
        sys.exit("Killed runs ended otherwise.")


if __name__ == "__main__":
    main()
