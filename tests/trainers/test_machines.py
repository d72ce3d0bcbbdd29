"""What TF_CONFIG says, and what of it is refused."""

import json
import re
import socket

import pytest
import tensorflow as tf

from trainers.devices.machines import Machines
from trainers.devices.machines import check_port
from trainers.devices.machines import read_machines

WORKERS = ["10.0.0.1:2222", "10.0.0.2:2222", "[::1]:2223"]


@pytest.mark.parametrize(
    "num_chiefs, job, index, place",
    [
        (0, "worker", 0, 0),
        (0, "worker", 2, 2),
        (1, "chief", 0, 0),
        (1, "worker", 0, 1),
        (1, "worker", 1, 2),
    ],
)
def test_workers_are_in_order_and_the_chief_comes_first(
    num_chiefs, job, index, place, monkeypatch
):
    cluster = {"worker": WORKERS[num_chiefs:]}
    if num_chiefs:
        cluster["chief"] = WORKERS[:1]
    task = {"type": job, "index": index}
    config = json.dumps({"cluster": cluster, "task": task})
    assert read_machines(config) == Machines(tuple(WORKERS), place)
    # TensorFlow reads the same.
    monkeypatch.setenv("TF_CONFIG", config)
    theirs = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    address = theirs.cluster_spec().task_address(
        theirs.task_type, theirs.task_id
    )
    assert address == WORKERS[place]


FIRST = {"type": "worker", "index": 0}
THIRD = {"type": "worker", "index": 2}
CHIEF = {"type": "chief"}
TEXT = {"type": "worker", "index": "0"}
ADDRESSES = "addresses of all workers"


def of(task=None, **cluster):
    return {"cluster": cluster, **({"task": task} if task else {})}


@pytest.mark.parametrize(
    "config, expected, received",
    [
        (None, "be set on every worker", "nothing"),
        ("", "be set on every worker", "nothing"),
        ("{'cluster': 1}", "be JSON", "{'cluster': 1}"),
        ([1], "be a JSON object", "[1]"),
        ({"task": FIRST}, ADDRESSES, "cluster=null"),
        (of(), ADDRESSES, "cluster={}"),
        (of(worker="a:1"), ADDRESSES, '{"worker": "a:1"}'),
        (of(worker=["a:1"], ps=["b:1"]), ADDRESSES, '"ps": ["b:1"]'),
        (of(chief=["a:1", "b:1"]), ADDRESSES, '{"chief": ["a:1", "b:1"]}'),
        (of(worker=["a"]), "'host:port'", "'a' among"),
        (of(worker=[7]), "'host:port'", "7 among"),
        (of(worker=["a:0"]), "'host:port'", "'a:0' among"),
        (of(worker=["a:1x"]), "'host:port'", "'a:1x' among"),
        (of(worker=["a:1"] * 2), "of its own", "'a:1' among ['a:1', 'a:1']"),
        (of(worker=["a:1"]), "of 1 worker", "task=null"),
        (of(CHIEF, worker=["a:1"]), "of 1 worker", 'task={"type": "chief"}'),
        (
            of(THIRD, worker=["a:1", "b:1"], chief=["c:1"]),
            "of 1 chief and 2 worker",
            '"index": 2',
        ),
        (of(TEXT, worker=["a:1"]), "index from 0", '"index": "0"'),
    ],
)
def test_what_does_not_name_the_workers_is_refused(config, expected, received):
    if not isinstance(config, str | None):
        config = json.dumps(config)
    message = f"TF_CONFIG.*{re.escape(expected)}.*{re.escape(received)}.*2222"
    with pytest.raises(ValueError, match=message):
        read_machines(config)


def test_a_port_in_use_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        cluster = Machines(("127.0.0.1:1", f"127.0.0.1:{port}"), 1)
        with pytest.raises(ValueError, match=f"TF_CONFIG.*:{port}.*worker 1"):
            check_port(cluster)
    check_port(cluster)
