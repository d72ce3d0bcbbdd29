"""The workers of a run on several machines, as TF_CONFIG names them.

Every worker gets the same cluster and its own index, and starts by the same
command on its machine. The first is the chief, or the one that the cluster
lists as `"chief"`.
"""

import dataclasses
import json
import socket

_EXAMPLE = (
    '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)
_JOBS = ("chief", "worker")


@dataclasses.dataclass(frozen=True)
class Machines:
    """The workers that train together, and which of them this process is.

    `addresses` holds `"host:port"` of every worker, the chief first; `index` is
    the number of this process among them.
    """

    addresses: tuple[str, ...]
    index: int


def read_machines(text) -> Machines:
    """Reads the value of TF_CONFIG, `None` or empty if it is not set.

    Raises:
        ValueError: If it does not name the workers and this one among them.

    Example:

    >>> read_machines(
    ...     '{"cluster": {"worker": ["a:1", "b:1"]},'
    ...     ' "task": {"type": "worker", "index": 1}}'
    ... )
    Machines(addresses=('a:1', 'b:1'), index=1)
    """
    if not text:
        raise _refusal("be set on every worker", "nothing")
    try:
        config = json.loads(text)
    except ValueError as error:
        raise _refusal("be JSON", f"{text!r} ({error})") from error
    if not isinstance(config, dict):
        raise _refusal("be a JSON object", text)
    jobs = config.get("cluster")
    if (
        not isinstance(jobs, dict)
        or not jobs
        or not set(jobs) <= set(_JOBS)
        or not all(isinstance(jobs[job], list) and jobs[job] for job in jobs)
        or len(jobs.get("chief", [""])) > 1
    ):
        raise _refusal(
            "list the addresses of all workers in `cluster.worker`, and if "
            "wanted one in `cluster.chief`",
            f"cluster={json.dumps(jobs)}",
        )
    addresses = [address for job in _JOBS for address in jobs.get(job, [])]
    for address in addresses:
        if _port(address) is None or addresses.count(address) > 1:
            raise _refusal(
                "give every worker an address 'host:port' of its own",
                f"{address!r} among {addresses}",
            )
    task = config.get("task")
    named = task if isinstance(task, dict) else {}
    this = named.get("type"), named.get("index")
    workers = [(job, i) for job in _JOBS for i in range(len(jobs.get(job, [])))]
    if this not in workers or not isinstance(this[1], int):
        there = [f"{len(jobs[job])} {job}" for job in _JOBS if job in jobs]
        raise _refusal(
            "say in `task` which worker of the cluster this is, by type "
            f"(of {' and '.join(there)}) and index from 0",
            f"task={json.dumps(task)}",
        )
    return Machines(tuple(addresses), workers.index(this))


def check_port(machines):
    """Refuses a port of this worker that is in use."""
    address = machines.addresses[machines.index]
    with socket.socket() as attempt:
        # A port that was in use a moment ago counts as free.
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind(("", _port(address)))
        except OSError as error:
            raise ValueError(
                "The port that `TF_CONFIG` gives this worker must be free on "
                f"its machine. Received: {address} for worker "
                f"{machines.index}, of which TCP says: {error.strerror}. End "
                "what uses it (another worker with this index?), or give "
                "another port to all workers."
            ) from error


def _port(address):
    """Returns the port of `"host:port"`, or `None` if it is no address."""
    if not isinstance(address, str):
        return None
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        return None
    return int(port)


def _refusal(expected, received):
    return ValueError(
        "With `config.strategy` 'multi_worker', the environment variable "
        f"`TF_CONFIG` must {expected}. Received: {received}. For the first of "
        f"two workers it is {_EXAMPLE}."
    )
