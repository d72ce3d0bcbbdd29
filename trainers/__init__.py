"""Programs that train, evaluate and plan; one a file."""

import contextlib
import os


@contextlib.contextmanager
def _native_notices_dropped():
    """Sends what native code writes to stderr nowhere; exceptions still show.

    On import, TensorFlow 2.21 prints notices that no log level silences.
    """
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


# Read by TensorFlow when it is imported: errors only.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with _native_notices_dropped():
    import tensorflow  # noqa: F401
