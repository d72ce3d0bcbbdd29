"""The programs, each run in a process forked from one that has TensorFlow.

Starting Python and importing TensorFlow takes longer than most refusals.
"""

import multiprocessing
import os
import pathlib
import runpy
import sys
import tempfile
import warnings

from benchmarks.tiny import TINY

ROOT = pathlib.Path(__file__).parents[2]
RUN = (
    f"--config={ROOT}/configs/digits.py:quick",
    *TINY,
    "--config.epochs=2",
    "--config.one_network=False",
)
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(
    [
        "trainers.evaluate",
        "trainers.export",
        "trainers.sensitivity",
        "trainers.tune",
        "tensorflow_datasets",
        "benchmarks.attack.processes",
    ]
)


def run(program, arguments, place=ROOT, seconds=60):
    """Runs `python -m trainers.PROGRAM` in a directory.

    Returns:
        `(status, errors)`: its exit status, None if it had to be stopped, and
        what it wrote to stderr.
    """
    with tempfile.TemporaryDirectory() as directory:
        errors = pathlib.Path(directory, "errors")
        process = _PROCESSES.Process(
            target=_run, args=(program, [*arguments], errors, place)
        )
        process.start()
        process.join(seconds)
        status = process.exitcode
        process.kill()
        process.join()
        return status, errors.read_text(errors="replace")


def _run(program, arguments, errors, place):
    os.chdir(place)
    for descriptor, name in ((1, os.devnull), (2, errors)):
        file = os.open(name, os.O_CREAT | os.O_WRONLY)
        os.dup2(file, descriptor)
    sys.argv = [f"{ROOT}/trainers/{program}.py", *arguments]
    # That it was imported before the fork is no harm.
    warnings.filterwarnings("ignore", module="runpy")
    runpy.run_module(f"trainers.{program}", run_name="__main__")


def finish(program, arguments):
    """Runs a program that must succeed."""
    status, errors = run(program, arguments, seconds=600)
    if status != 0:
        raise RuntimeError(f"{program} ended with status {status}:\n{errors}")
