"""Breaks runs wherever they write; they must end like one that was not broken.

    python benchmarks/kills.py --kills 17 --faults 30

Runs programs on a tiny config with all phases (search, training with
decoupling, evaluation), deterministically: `trainers.train` on one replica, on
two (MirroredStrategy on logical CPUs) and on two workers, `trainers.tune`,
`trainers.evaluate` and `trainers.export`. Each is run once unbroken, which also
tells all files that it writes. Others are killed, at operations spread evenly
over these, and every fourth at a random moment, and continued by the same
command; of two workers, the chief and the other in turn. `--faults` lets the
system refuse operations of a run instead, with ENOSPC, EIO and EACCES in turn:
each must end it with one line and exit status 2.

Compares exactly: weights and optimizer slots, the allocation with its ties,
similarities, exported weights, and all metrics except times. A file that has
its final name must be whole. Prints a table, writes everything to --json.
"""

import argparse
import collections
import errno
import functools
import io
import json
import os
import pathlib
import random
import re
import shutil
import socket
import sys
import tempfile
import time
import zipfile

import h5py
import numpy as np

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # also where this is run as a file

from benchmarks.breaking import Broken  # noqa: E402
from benchmarks.tiny import TINY  # noqa: E402

RUN = [
    # The recipe of the papers, whose ties change while a run trains.
    f"--config={ROOT}/configs/cifar_swn_he.py:quick",
    "--config.deterministic",
    *TINY,
    "--config.search.pretrain_epochs=2",
    "--config.epochs=3",
]
DEVICES = {
    "one replica": [],
    "two replicas": ["--config.strategy=mirrored", "--config.num_cpus=2"],
}
PROGRAMS = {
    "one replica": ("train", RUN),
    "two replicas": ("train", [*RUN, *DEVICES["two replicas"]]),
    "two workers": ("train", [*RUN, "--config.strategy=multi_worker"]),
    "tune": ("tune", [*RUN, "--config.epochs=1", "--trials=2"]),
    "evaluate": ("evaluate", ["--interpolation=3", "--corruptions=contrast"]),
    "export": ("export", ["--formats=keras,saved_model"]),
}
FAULTS = (errno.ENOSPC, errno.EIO, errno.EACCES)
TIMES = ("seconds", "milliseconds")
# Streams, which are not read back, and what only one process looks at.
_NOT_AIMED_AT = re.compile(r"output.txt$|/lock$|^\.\.")


def outcome(workdir):
    """Returns all of a run that must be equal: a dict from name to value."""
    # How many older ones are left depends on the moment of a kill.
    backup = max(workdir.glob("backup/epoch-*/state.weights.h5"))
    found = _arrays(backup)
    with np.load(workdir / "search" / "similarities.npz") as stored:
        found.update({f"similarity of {name}": stored[name] for name in stored})
    text = (workdir / "allocation.json").read_text()
    return found | {"allocation": text, "metrics": _metrics(workdir)}


def outcomes(program, workdir):
    """Returns the same of what any of the programs leaves."""
    if program == "evaluate":
        return {"metrics": _metrics(workdir)}
    if program == "export":
        exported = workdir / "export"
        found = {"names": sorted(path.name for path in exported.iterdir())}
        for path in exported.glob("*.keras"):
            with zipfile.ZipFile(path) as archive:
                weights = io.BytesIO(archive.read("model.weights.h5"))
            for name, value in _arrays(weights).items():
                found[f"{path.name} {name}"] = value
        return found
    runs = [workdir]
    if program == "tune":
        runs = sorted(workdir.glob("trials/*/run"))
        assert runs and (workdir / "results.json").exists()
    return {
        f"{run.relative_to(workdir)} {name}": value
        for run in runs
        for name, value in outcome(run).items()
    }


def _arrays(file):
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with h5py.File(file) as archive:
        archive.visititems(visit)
    return found


def _metrics(workdir):
    metrics = json.loads((workdir / "metrics.json").read_text())
    return _without_times(metrics)


def _without_times(data):
    if isinstance(data, dict):
        return {k: _without_times(v) for k, v in data.items() if k not in TIMES}
    return [*map(_without_times, data)] if isinstance(data, list) else data


def differences(one, other):
    """Returns the names of what is not equal."""
    both = one.keys() & other.keys()
    differ = {n for n in both if not np.array_equal(one[n], other[n])}
    return sorted(differ | (one.keys() ^ other.keys()))


def run_once(kind, workdir, at=None, number=None, timeout=None, log=None):
    """Runs a program until it ends or breaks; returns status and errors.

    Of two workers, the one that `at` names third is broken, and ends the other.
    """
    program, arguments = PROGRAMS[kind]
    arguments = [*arguments, f"--workdir={workdir}"]
    if program in ("train", "tune"):
        arguments.append(f"--config.data.data_dir={workdir.parent / 'digits'}")
    if kind != "two workers":
        return Broken(program, arguments, at, number, log).end(timeout)
    broken = at[2] if at else 0
    ports = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    cluster = [f"127.0.0.1:{port.getsockname()[1]}" for port in ports]
    for port in ports:
        port.close()
    workers = []
    for index in range(2):
        task = {"type": "worker", "index": index}
        config = {"cluster": {"worker": cluster}, "task": task}
        worker = Broken(
            program,
            arguments,
            at[:2] if at and index == broken else None,
            number,
            log if index == 0 else None,
            TF_CONFIG=json.dumps(config),
            TMPDIR=str(workdir.parent),
        )
        workers.append(worker)
    ended = workers[broken].end(timeout)
    workers[1 - broken].end()
    return ended


def check_whole(workdir):
    """Refuses files that have their final names and cannot be read."""
    for path in workdir.rglob("*"):
        if any(part.startswith("unfinished-") for part in path.parts):
            continue
        if path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix in (".keras", ".npz"):
            assert zipfile.ZipFile(path).testzip() is None, path
        elif path.suffix == ".h5":
            h5py.File(path).close()
        elif path.suffix == ".png":
            assert path.read_bytes().endswith(b"IEND\xaeB`\x82"), path


def break_at(points, directory, new, run):
    """Breaks runs at these points, one after the other in each run.

    Args:
        points: What `run` takes, in the order in which a run comes by.
        directory: Where runs are made.
        new: Makes the directory of a new run.
        run: Runs on in a directory, broken at a point or, with `None`, to the
            end; returns whether it has broken.

    Returns:
        `(points that broke a run, directories of all runs)`.
    """
    broken, workdirs, waiting = [], [], list(points)
    is_new = True
    while waiting or not is_new:
        if is_new:
            workdirs.append(new(directory / f"broken-{len(workdirs)}"))
        point = waiting[0] if waiting else None
        has_broken = run(workdirs[-1], point)
        if has_broken:
            broken.append(waiting.pop(0))
        elif is_new and waiting:
            waiting.pop(0)  # no run comes by
        is_new = not has_broken
    return broken, workdirs


def chosen(passed, count, draw, kind, number=None):
    """Returns the breakpoints of one kind of run, in their order.

    `passed` are those of an unbroken run; `draw` is a `random.Random`.
    """
    known = list(dict.fromkeys(map(tuple, passed)))
    if number is not None:
        known = [point for point in known if point[0] != "replaced"]
    step = max(1.0, len(known) / count)
    points = [known[int(i * step)] for i in range(min(count, len(known)))]
    if kind == "two workers":
        points = [(*point, i % 2) for i, point in enumerate(points)]
    if number is None:
        moment = draw.random
        points[3::4] = [("after", moment(), 0) for _ in points[3::4]]
    return points


def measure(kind, count, seed, directory, faults=()):
    """Breaks runs of a kind, and compares them with one that is not broken."""
    program, _ = PROGRAMS[kind]
    finished = directory / "finished"
    if program in ("evaluate", "export"):
        assert run_once("one replica", finished)[0] == 0

    def new(workdir):
        if finished.exists():
            shutil.copytree(finished, workdir)
        return workdir

    log = directory / "log.json"
    never = new(directory / "never")
    began = time.perf_counter()
    status, errors = run_once(kind, never, log=log)
    assert status == 0, errors
    duration = time.perf_counter() - began
    passed = [
        (operation, os.path.relpath(path, never))
        for operation, path in json.loads(log.read_text())
    ]
    passed = [each for each in passed if not _NOT_AIMED_AT.search(each[1])]
    points = chosen(passed, count, random.Random(seed), kind, faults or None)
    numbers = dict(zip(points, list(faults) * len(points), strict=False))

    def run(workdir, point):
        is_timed = point is not None and point[0] == "after"
        status, errors = run_once(
            kind,
            workdir,
            None if is_timed else point,
            numbers.get(point),
            point[1] * duration if is_timed else None,
        )
        expected = 2 if faults else -9
        if status not in (0, expected) or (
            status and faults and len(errors.splitlines()) != 1
        ):
            raise RuntimeError(f"{point}: exit status {status}\n{errors}")
        check_whole(workdir)
        return status != 0

    broken, workdirs = break_at(points, directory, new, run)
    expected = outcomes(program, never)
    return {
        "seconds": duration,
        "broken": broken,
        "missed": [point for point in points if point not in broken],
        "values": len(expected),
        "differences": [
            differences(expected, outcomes(program, workdir))
            for workdir in workdirs
        ],
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--kills", default=17, type=int, help="of each kind")
    parser.add_argument("--faults", default=0, type=int, help="of one replica")
    parser.add_argument("--kinds", default=list(PROGRAMS), nargs="*")
    parser.add_argument("--seed", default=0, type=int)
    parser.add_argument("--json", default="kills.json", type=pathlib.Path)
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    measures = {
        kind: functools.partial(measure, kind, arguments.kills)
        for kind in arguments.kinds
        if arguments.kills
    }
    if arguments.faults:
        measures["faults"] = functools.partial(
            measure, "one replica", arguments.faults, faults=FAULTS
        )
    results = {}
    for name, measured in measures.items():
        with tempfile.TemporaryDirectory() as directory:
            result = measured(arguments.seed, pathlib.Path(directory))
        results[name] = result
        arguments.json.write_text(json.dumps(results, indent=1))
        unequal = sum(map(bool, result["differences"]))
        print(
            f"{name}: {len(result['broken'])} times broken, "
            f"{len(result['differences'])} runs ended, {unequal} of them "
            f"otherwise than the one never broken ({result['seconds']:.0f} "
            f"seconds, {result['values']} values)"
        )
        places = collections.Counter(point[0] for point in result["broken"])
        for place, times in places.items():
            print(f"    {place:<10} {times:>3}")
        for point in result["missed"]:
            print(f"    not come by: {point}")
        print(flush=True)
    if any(any(r["differences"]) for r in results.values()):
        sys.exit("Broken runs ended otherwise.")


if __name__ == "__main__":
    main()
