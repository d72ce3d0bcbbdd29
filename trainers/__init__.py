"""Programs that train, evaluate and plan, one per file, and their rooms."""

import os
import sys
import traceback

from absl import app
from absl import flags
from absl import logging

_OURS = {"__main__", "keras_superweights", "trainers", "configs"}


def run(main):
    """Runs a program's `main(options)` with its flags, and exits.

    An error that this project raises on purpose, a config file that cannot be
    loaded or a lost worker ends it with the message alone and exit code 1.
    Other errors, such as TensorFlow's, keep their traceback.
    """

    def with_flags(argv):
        if len(argv) > 1:
            raise app.UsageError(f"Unknown arguments: {argv[1:]}")
        logging.set_verbosity(logging.ERROR)
        main(flags.FLAGS)

    try:
        app.run(with_flags)
    except (ValueError, OSError) as error:
        package = _raised_in(error)
        is_config = isinstance(error, OSError) and package == "ml_collections"
        ours = isinstance(error, (ValueError, ConnectionError))
        is_refusal = ours and package in _OURS
        if not (is_config or is_refusal):
            raise
        sys.exit(str(error))


def _raised_in(error):
    """Returns the package whose code raised an error."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_globals["__name__"].partition(".")[0]


# Read by TensorFlow when it is imported: errors only.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# On import, TensorFlow 2.21 prints notices that no log level silences. What
# native code writes to stderr is dropped; exceptions still show.
_kept = os.dup(2)
with open(os.devnull, "w") as _nowhere:
    os.dup2(_nowhere.fileno(), 2)
try:
    import tensorflow  # noqa: F401
finally:
    os.dup2(_kept, 2)
    os.close(_kept)
