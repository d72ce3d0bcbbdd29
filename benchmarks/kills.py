"""Kills runs at random moments; they must end like one that was not killed.

    python benchmarks/kills.py --kills 20

Runs `trainers.train` on a tiny config with all phases (search, training with
decoupling, evaluation), deterministically, on one replica and on two
(MirroredStrategy on logical CPUs). One run is never killed. Others are killed
(SIGKILL) and continued by the same command, each time after a random part of
the time that a whole run takes; when one ends before that, it is compared and
the next one starts. The moments are spread evenly over the time of a run, in
random order.

Compares exactly: weights and optimizer slots, the allocation with its ties,
similarities, and all metrics except times. Prints a table and writes everything
to --json.
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
    # The recipe of the papers, whose ties change while a run trains.
    "--config=configs/cifar_swn_he.py:quick",
    "--config.deterministic",
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
    """Starts or continues the run."""
    command = [sys.executable, "-m", "trainers.train", *arguments]
    return subprocess.Popen(
        [*command, f"--workdir={workdir}"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    """Waits for a run, which must succeed."""
    _, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(f"The run failed:\n{errors}")


def phase(workdir):
    """Tells from its files what a run was doing."""
    trained = [p.name for p in workdir.glob("backup/epoch-*")]
    pretrained = [p.name for p in workdir.glob("search/backup/epoch-*")]
    if not (workdir / "config.json").exists():
        return "start"
    if not (workdir / "search" / "similarities.npz").exists():
        return "search" if pretrained else "search, first epoch"
    if not trained:
        return "training, first epoch"
    if LAST_EPOCH not in trained:
        return "training"
    one = workdir / "one_network"
    compares = one.exists() and not (one / "metrics.json").exists()
    return "one network" if compares else "end"


def outcome(workdir):
    """Returns all that must be equal: a dict from a name to its value."""
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    # How many older ones are left depends on the moment of a kill.
    backup = max(workdir.glob("backup/epoch-*/state.weights.h5"))
    with h5py.File(backup) as archive:
        archive.visititems(visit)
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
    """Returns the names of what is not equal."""
    both = one.keys() & other.keys()
    differ = {n for n in both if not np.array_equal(one[n], other[n])}
    return sorted(differ | (one.keys() ^ other.keys()))


def kill_at(moments, duration, arguments, directory):
    """Kills runs at these moments.

    Args:
        moments: Fractions of the time that a whole run takes.
        duration: That time in seconds, at the start; it follows the load.

    Returns:
        `(phases of the kills, outcomes of the runs)`.
    """
    phases, outcomes, waiting = [], [], list(moments)
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
    """Compares runs that are killed with one that is not."""
    began = time.perf_counter()
    finish(start(arguments, directory / "never"))
    duration = time.perf_counter() - began
    draw = random.Random(seed)
    moments = [(i + draw.random()) / num_kills for i in range(num_kills)]
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
