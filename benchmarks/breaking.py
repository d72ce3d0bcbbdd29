"""Programs in processes that break at a chosen operation on a chosen file.

A breakpoint is `(operation, file)`: the first time that a process comes to do
that with a file whose path ends so, it is killed (SIGKILL), or the system
refuses the operation with an error number. Operations are

    write      half of what is written gets there
    fsync      the file is complete, perhaps not on the disk
    replace    the file is complete, and has not got its final name
    replaced   it has just got it; there is nothing to refuse

They are those of Python's files; those of TensorFlow's native code, which
writes logs, are reached by kills at random moments.
"""

import atexit
import builtins
import io
import json
import multiprocessing
import os
import pathlib
import runpy
import signal
import sys
import tempfile

# Forked from a process that has imported TensorFlow, which takes seconds.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["trainers.tune"])


class Broken:
    """A program of `trainers`, begun in a process of its own.

    Args:
        program: Its name, such as `"train"`.
        arguments: Its command line.
        at: The breakpoint, or `None`.
        number: The error number of a refusal; `None` to be killed.
        log: A file for all breakpoints that it comes by, as JSON.
        environment: Additional variables.
    """

    def __init__(
        self, program, arguments, at=None, number=None, log=None, **environment
    ):
        self._directory = tempfile.TemporaryDirectory()
        self._told = pathlib.Path(self._directory.name, "errors")
        self._told.touch()
        self._process = _PROCESSES.Process(
            target=_run,
            args=(program, arguments, at, number, log, environment),
            kwargs={"told": self._told},
            daemon=True,
        )
        self._process.start()

    def end(self, timeout=None):
        """Waits, or kills it after so many seconds.

        Returns its exit status, negative for signals, and its errors.
        """
        self._process.join(timeout)
        self._process.kill()
        self._process.join()
        return self._process.exitcode, self._told.read_text()


def _run(program, arguments, at, number, log, environment, told):
    for descriptor, name in ((1, os.devnull), (2, told)):
        os.dup2(os.open(name, os.O_WRONLY), descriptor)
    os.environ.update(environment)
    tempfile.tempdir = None  # as the environment says
    sys.argv = [program, *arguments]
    passed = _break(at, number)
    try:
        runpy.run_module(f"trainers.{program}", run_name="__main__")
    finally:
        if log:
            pathlib.Path(log).write_text(json.dumps(passed))
        atexit._run_exitfuncs()  # which `multiprocessing` would leave out


def _break(at, number):
    """Replaces Python's file operations; returns a list of those passed."""
    passed, opened, done = [], io.open, []

    def pass_by(operation, path, before=lambda: None):
        path = os.path.abspath(os.fsdecode(path))
        passed.append((operation, path))
        if at is None or done or operation != at[0]:
            return
        if path.endswith(f"/{at[1]}"):
            done.append(at)
            before()
            if number is None:
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(number, os.strerror(number), path)

    class Raw(io.FileIO):
        def write(self, data):
            write = super().write
            half = memoryview(data)[: len(data) // 2]
            pass_by("write", self.name, lambda: write(half))
            return write(data)

    def open_(file, mode="r", buffering=-1, *args, **kwargs):
        is_path = not isinstance(file, int) and "opener" not in kwargs
        if not is_path or not set(mode) & set("wax+"):
            return opened(file, mode, buffering, *args, **kwargs)
        raw = Raw(file, mode.replace("b", "").replace("t", ""))
        kind = io.BufferedRandom if "+" in mode else io.BufferedWriter
        buffer = kind(raw)
        if "b" in mode:
            return buffer if buffering else raw
        return io.TextIOWrapper(buffer, *args, **kwargs)

    def fsync(descriptor, sync=os.fsync):
        pass_by("fsync", os.readlink(f"/proc/self/fd/{descriptor}"))
        sync(descriptor)

    def renaming(rename):
        def rename_(source, target):
            pass_by("replace", target)
            rename(source, target)
            pass_by("replaced", target)

        return rename_

    builtins.open = io.open = open_
    os.fsync = fsync
    os.replace, os.rename = renaming(os.replace), renaming(os.rename)
    return passed
