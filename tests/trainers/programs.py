"""Programs in processes of their own, which tests can kill.

All are forked from a process that has imported TensorFlow: the import takes as
long as what they do.
"""

import atexit
import multiprocessing
import os
import pathlib
import signal
import sys
import tempfile
import time

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["trainers.tune"])


class Program:
    """A function, begun in a process of its own with an environment.

    The process exits with what the function returns, as `sys.exit` does.
    """

    def __init__(self, function, *arguments, **environment):
        self._printed = tempfile.TemporaryDirectory()
        self._process = _PROCESSES.Process(
            target=_run,
            args=(self._printed.name, environment, function, *arguments),
            daemon=True,
        )
        self._process.start()

    def finish(self):
        """Waits for its end; returns its exit code, output and errors."""
        self._process.join(300)
        files = [pathlib.Path(self._printed.name, name) for name in _STREAMS]
        return self._process.exitcode, *(file.read_text() for file in files)

    def kill_when(self, reached, others=(), number=signal.SIGKILL):
        """Sends it a signal at a moment; none, nor others, may end before.

        Returns what `reached` does, which says whether the moment has come.
        """
        end = time.monotonic() + 300
        while not (moment := reached()):
            assert time.monotonic() < end
            for program in (self, *others):
                assert program._process.is_alive(), program.finish()
            time.sleep(0.02)
        os.kill(self._process.pid, number)
        self._process.join(300)
        return moment


_STREAMS = ("output", "errors")


def _run(directory, environment, function, *arguments):
    for descriptor, name in enumerate(_STREAMS, start=1):
        file = os.open(f"{directory}/{name}", os.O_CREAT | os.O_WRONLY)
        os.dup2(file, descriptor)
    os.environ.update(environment)
    tempfile.tempdir = None  # as the environment says
    try:
        sys.exit(function(*arguments))
    finally:
        atexit._run_exitfuncs()  # which `multiprocessing` would leave out
