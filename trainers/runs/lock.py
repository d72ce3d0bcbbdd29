"""One process at a time: locks that the system releases when one dies."""

import contextlib
import fcntl
import os
import socket
import time

# The file of a directory's lock, there while a process holds it; it says which.
NAME = "lock"


@contextlib.contextmanager
def only_process(directory, remedy="Wait for its end, or end it."):
    """Holds the lock of a directory, which is made if missing.

    Raises:
        ValueError: If another process holds it. The message names that process
            and says `remedy`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / NAME
    with _locked(path, remedy) as file:
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        file.truncate(0)
        file.write(
            f"process {os.getpid()} on {socket.gethostname()}, since {since}"
        )
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _locked(path, remedy):
    """Returns the open file of a lock that this process holds now."""
    while True:
        file = path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                return file
        except FileNotFoundError:
            pass  # its last holder has just removed it
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read() or "another process"
            file.close()
            raise ValueError(
                f"{path.parent} must be of one process at a time. Received: it "
                f"is in use by {holder}. {remedy}"
            ) from error
        file.close()


@contextlib.contextmanager
def in_turn(path):
    """Opens a file to append to, once no other process has it open so."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
