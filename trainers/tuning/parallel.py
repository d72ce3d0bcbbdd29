"""The role of this process among processes that tune together.

KerasTuner's environment variables tell it. A single process has none of them;
otherwise each process has all three:

    KERASTUNER_TUNER_ID     chief for the one that gives out trials, or a
                            worker's own name
    KERASTUNER_ORACLE_IP    the chief's address
    KERASTUNER_ORACLE_PORT  the chief's port
"""

import os
import socket
import time

_ID = "KERASTUNER_TUNER_ID"
_IP = "KERASTUNER_ORACLE_IP"
_PORT = "KERASTUNER_ORACLE_PORT"

# A worker may start before its chief.
PATIENCE_SECONDS = 300


def role():
    """Returns `"alone"`, `"chief"` or `"worker"`.

    Refuses missing variables, an invalid port and, for a chief, a used one.
    """
    values = {name: os.environ.get(name) for name in (_ID, _IP, _PORT)}
    missing = [name for name, value in values.items() if not value]
    if len(missing) == 3:
        return "alone"
    if missing:
        raise ValueError(
            f"Processes that tune together need {_ID}, {_IP} and {_PORT} "
            "in the environment of each; a single process needs none of "
            f"them. Received: {values}, without {', '.join(missing)}."
        )
    port = values[_PORT]
    if not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ValueError(
            f"{_PORT} must be a port, from 1 to 65535. Received: {port!r}."
        )
    # As KerasTuner decides.
    if "chief" not in values[_ID]:
        return "worker"
    try:
        # gRPC would share a port in use, and lose some calls.
        socket.create_server(_address()).close()
    except OSError as error:
        raise ValueError(
            f"The chief must be able to listen at {_shown()}: {_IP} must be an "
            f"address of this machine, and {_PORT} a port that nobody uses. "
            f"Received: {error}."
        ) from error
    return "chief"


def wait_for_chief():
    """Waits until the chief can be reached; a `ValueError` after 5 minutes."""
    end = time.monotonic() + PATIENCE_SECONDS
    told = False
    while True:
        try:
            socket.create_connection(_address(), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > end:
                raise ValueError(
                    f"No chief answers at {_shown()} ({error}). One process "
                    f"must be started with {_ID}=chief, and {_IP} and {_PORT} "
                    "must be the same for all. Received: "
                    f"{_ID}={os.environ[_ID]}."
                ) from error
        if not told:
            print(f"waiting for the chief at {_shown()}", flush=True)
            told = True
        time.sleep(1)


def _address():
    return os.environ[_IP], int(os.environ[_PORT])


def _shown():
    return "{}:{}".format(*_address())
