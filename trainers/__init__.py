"""Programs that train, evaluate and plan, one per file, and their rooms."""

import dis
import errno
import os
import sys

from absl import app
from absl import flags
from absl import logging

REFUSED, INTERRUPTED = 2, 130

_OURS = {"__main__", "keras_superweights", "trainers", "configs"}
_OF_DISKS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO)
_GOES_ON = "Nothing is half written: the same command goes on"


def run(main):
    """Runs a program's `main(options)` with its flags, and exits.

    What the program refuses (flags, configs, files, directories, a full disk,
    a lost worker) ends it with one message and exit status 2, Ctrl-C with 130.
    Other errors are defects, or TensorFlow's: they keep their traceback, and
    have status 1.
    """
    try:
        app.run(lambda _: main(flags.FLAGS), flags_parser=_parse)
    except KeyboardInterrupt:
        _end(f"Interrupted. {_GOES_ON}.", INTERRUPTED)
    except Exception as error:
        told = _told(error)
        if told is None:
            raise
        _end(told, REFUSED)


def _end(told, status):
    print(told, file=sys.stderr)
    sys.exit(status)


def _parse(argv):
    """Parses flags and loads the config files that they name."""
    logging.set_verbosity(logging.ERROR)
    try:
        _, *unknown = flags.FLAGS(argv)
        for name in {"config", "space"} & set(flags.FLAGS):
            if flags.FLAGS[name].value is not None:
                # Only now does ml_collections tell of a file that is not there.
                flags.FLAGS[name].value.to_dict  # noqa: B018
    except Exception as error:  # a config file is a program of the user's
        while error.__context__ and "Traceback" in str(error):
            error = error.__context__  # ml_collections has told it as text
        told = f"{type(error).__name__}: {_in_a_line(error)}"
        raise ValueError(
            "Flags must be those that `--help` lists, name keys of the config, "
            "and files that Python can read and that define `get_config`. "
            f"Received: {told}"
        ) from error
    if unknown:
        raise ValueError(f"Flags begin with `--`. Received: {unknown}.")


def _told(error):
    """Returns what to tell of an error that refuses something, or `None`."""
    if isinstance(error, (ValueError, TypeError, ConnectionError)):
        return str(error) if _is_on_purpose(error) else None
    of_disks = any(os.strerror(code) in str(error) for code in _OF_DISKS)
    of_tensorflow = isinstance(error, tensorflow.errors.OpError) and of_disks
    if of_tensorflow or (isinstance(error, OSError) and error.errno):
        return f"{_in_a_line(error)}. {_GOES_ON} once that is mended."
    return None


def _in_a_line(error):
    return " ".join(str(error).strip('"').split())


def _is_on_purpose(error):
    """Whether a `raise` of ours has raised an error, not Python for us."""
    last = error.__traceback__
    while last.tb_next:
        last = last.tb_next
    operation = last.tb_frame.f_code.co_code[last.tb_lasti]
    package = last.tb_frame.f_globals["__name__"].partition(".")[0]
    return package in _OURS and dis.opname[operation] == "RAISE_VARARGS"


def _tell_interrupt(kind, error, trace):
    """Tells Ctrl-C while programs are still imported, before `run`."""
    if issubclass(kind, KeyboardInterrupt):
        print(f"Interrupted. {_GOES_ON}.", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _tell_interrupt

# Read by TensorFlow when it is imported: errors only.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# On import, TensorFlow 2.21 prints notices that no log level silences. What
# native code writes to stderr is dropped; exceptions still show.
_kept = os.dup(2)
with open(os.devnull, "w") as _nowhere:
    os.dup2(_nowhere.fileno(), 2)
try:
    import tensorflow
finally:
    os.dup2(_kept, 2)
    os.close(_kept)
