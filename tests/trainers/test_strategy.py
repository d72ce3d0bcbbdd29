"""The devices that a config names."""

import json
import socket

import pytest
import tensorflow as tf

from trainers.devices import strategy as devices


def test_one_device_is_the_default_strategy():
    assert devices.strategy("one_device") is tf.distribute.get_strategy()


@pytest.mark.parametrize(
    "arguments, told",
    [
        (["mirrored"], "--config.num_cpus=2"),
        (["tpu"], "needs a TPU.*TPU_NAME='local'"),
        # Logical CPUs are for "mirrored".
        (["one_device", 2], "num_cpus.*2 with 'one_device'"),
        (["multi_worker", 2], "num_cpus.*2 with 'multi_worker'"),
        (["tpu", 2], "num_cpus.*2 with 'tpu'"),
        (["multi_worker", 0, 64], "TF_CONFIG.*Received: nothing"),
    ],
    ids=str,
)
def test_what_is_not_there_is_told(arguments, told, monkeypatch):
    for name in ("TPU_NAME", "TF_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match=told):
        devices.strategy(*arguments)


def set_workers(monkeypatch, addresses, index):
    task = {"type": "worker", "index": index}
    config = {"cluster": {"worker": addresses}, "task": task}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))


def test_a_batch_that_workers_cannot_share_is_refused(monkeypatch):
    addresses = [f"127.0.0.1:{port}" for port in (2222, 2223, 2224)]
    set_workers(monkeypatch, addresses, 0)
    with pytest.raises(ValueError, match="a batch, 3: `TF_CONFIG`.*: 64"):
        devices.strategy("multi_worker", batch_size=64)


def test_no_worker_starts_on_a_port_in_use(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        used = f"127.0.0.1:{server.getsockname()[1]}"
        set_workers(monkeypatch, ["127.0.0.1:2222", used], 1)
        with pytest.raises(ValueError, match=f"{used} for worker 1"):
            devices.strategy("multi_worker", batch_size=64)


def batches_of(num_shards, shard):
    """Three batches of 8 rows, of which each shard has its own."""
    rows = 8 // num_shards
    data = tf.data.Dataset.range(24).batch(8)
    return data.map(lambda batch: batch[rows * shard : rows * (shard + 1)])


def test_without_workers_fit_takes_the_batches_as_they_are():
    batches, steps = devices.shared(batches_of)
    assert [batch.shape[0] for batch in batches] == [8, 8, 8]
    assert steps is None


@pytest.mark.parametrize("replicas", [1, 2])
def test_each_replica_of_a_worker_gets_rows_of_its_own(replicas):
    workers = 8 // replicas // 2
    seen = []
    for worker in range(workers):
        context = tf.distribute.InputContext(
            workers, worker, workers * replicas
        )
        batches = list(devices._of_worker(batches_of, context))
        assert len(batches) == 3 * replicas
        # TensorFlow hands a worker's batches to its replicas in turn.
        for replica in range(replicas):
            seen.append([b.numpy() for b in batches[replica::replicas]])
    for step in range(3):
        rows = [row for replica in seen for row in replica[step]]
        assert rows == list(range(8 * step, 8 * step + 8))
