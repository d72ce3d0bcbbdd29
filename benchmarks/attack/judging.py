"""Tells how a bad input was answered, by rules that no case can bend.

clear    a ValueError or TypeError that a `raise` of this project has
         raised, of at most a few lines, which names what is wrong; or a
         program that ends with status 2 and one such line. No file is
         left or changed
raw      any other exception or end, and somebody else's words
silent   accepted, although wrong
loses    a file was left behind, changed or lost, however it was answered
"""

import contextlib
import dataclasses
import dis
import os
import pathlib
import signal
import warnings
from collections.abc import Callable

CLEAR, RAW, SILENT, LOSES = "clear", "raw", "silent", "loses"
REFUSED = 2  # the exit status of a program that refuses its input
OURS = {"keras_superweights", "trainers", "configs"}
# Of an error. One that quotes all of what it refuses is longer.
MOST_CHARACTERS = 1500
SECONDS = 20.0


@dataclasses.dataclass(frozen=True)
class Case:
    """A bad input.

    Attributes:
        name: What is printed of it.
        attempt: Function without arguments that should refuse it.
        told: Words of which an error must hold one, such as the argument.
    """

    name: str
    attempt: Callable
    told: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Answer:
    """How a case was answered: one of the kinds above, and in which words."""

    case: str
    kind: str
    words: str


class HarmlessError(Exception):
    """Raised by an attempt whose input turned out not to be bad."""


class _TookTooLongError(Exception):
    pass


def judge(case, directory):
    """Attempts a case of Python in a directory; returns its `Answer`.

    Returns None if the input turned out not to be bad.
    """
    before = contents(directory)
    try:
        with _within(directory), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = case.attempt()
        kind, words = SILENT, f"accepted: {found!r}"
    except HarmlessError:
        return None
    except Exception as error:
        words = f"{type(error).__name__}: {error}"
        kind = CLEAR if _is_clear(error, case.told) else RAW
    return _checked_files(case, kind, words, before, directory)


def judge_end(case, directory, status, errors, before):
    """Judges how a program ended.

    Args:
        case: Its `Case`.
        directory: What it could change.
        status: Its exit status; None if it had to be stopped.
        errors: What it wrote to stderr, as text.
        before: `contents(directory)` before it began.
    """
    words = f"status {status}: {errors.strip()}"
    if not status:
        kind = SILENT
    else:
        is_told = "Traceback" not in errors and names(errors, case.told)
        kind = CLEAR if status == REFUSED and is_told else RAW
    return _checked_files(case, kind, words, before, directory)


def contents(directory):
    """Returns what a directory holds: bytes by path, None for directories."""
    return {
        path.relative_to(directory).as_posix(): (
            path.read_bytes() if path.is_file() else None
        )
        for path in pathlib.Path(directory).rglob("*")
    }


def names(words, told):
    """Whether an error of a bearable length has one of these words."""
    lower = words.lower()
    found = any(word.lower() in lower for word in told)
    return found and len(words) <= MOST_CHARACTERS


def is_on_purpose(error):
    """Whether a `raise` of this project has raised an error.

    That of Python's own operations in a file of the project, such as
    `int("a")`, is no `raise`.
    """
    step = error.__traceback__
    while step.tb_next is not None:
        step = step.tb_next
    frame = step.tb_frame
    if frame.f_globals.get("__name__", "").partition(".")[0] not in OURS:
        return False
    operation = frame.f_code.co_code[step.tb_lasti]
    return dis.opname[operation] == "RAISE_VARARGS"


def _is_clear(error, told):
    return (
        isinstance(error, (TypeError, ValueError))
        and is_on_purpose(error)
        and names(str(error), told)
    )


def _checked_files(case, kind, words, before, directory):
    after = contents(directory)
    if after != before:
        paths = {
            path
            for path in before.keys() | after.keys()
            if before.get(path, ...) != after.get(path, ...)
        }
        kind = SILENT if kind == SILENT else LOSES
        words = f"changed {', '.join(sorted(paths)[:5])}; {words}"
    return Answer(case.name, kind, " ".join(words.split()))


@contextlib.contextmanager
def _within(directory):
    """Works in a directory, and for no longer than `SECONDS`."""

    def stop(*_):
        raise _TookTooLongError(f"more than {SECONDS:.0f} seconds")

    elsewhere = os.getcwd()
    os.chdir(directory)
    handler = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        os.chdir(elsewhere)
