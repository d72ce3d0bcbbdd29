"""The devices that a run trains on: one, several, or several machines."""

import contextlib
import functools
import os
import signal
import threading

import tensorflow as tf

from keras_superweights.training.distribution import is_multi_worker
from trainers.devices.machines import check_port
from trainers.devices.machines import read_machines

STRATEGIES = ("one_device", "mirrored", "multi_worker", "tpu")


def strategy(name, num_cpus=0, batch_size=None):
    """Returns the strategy to build and train in; to be called first of all.

    `"mirrored"` uses every GPU of the machine, or `num_cpus` logical CPUs, to
    try replicas on any machine. `"multi_worker"` uses every GPU, or the CPU,
    of each of the workers in TF_CONFIG, which share batches of `batch_size`,
    and waits until all have started. `"tpu"` uses the cores of this machine's
    TPU, or of the one in TPU_NAME.

    Raises:
        ValueError: If there are no such devices, or TF_CONFIG does not fit.
    """
    check_strategy(name, num_cpus)
    if name == "multi_worker":
        _check_workers(batch_size)
    return _strategy(name, num_cpus)


def check_strategy(name, num_cpus):
    """Refuses an unknown strategy; does not look for its devices."""
    if name not in STRATEGIES:
        raise ValueError(
            f"`config.strategy` must be one of {sorted(STRATEGIES)}. "
            f"Received: {name!r}."
        )
    if num_cpus < 0 or (num_cpus and name != "mirrored"):
        raise ValueError(
            "`config.num_cpus` is for `config.strategy` 'mirrored', to which "
            f"it gives replicas to try out. Received: {num_cpus} with "
            f"'{name}'. Set it to 0."
        )


# A process holds one strategy of a kind, however many runs it trains.
@functools.cache
def _strategy(name, num_cpus):
    if name == "mirrored":
        return _mirrored(num_cpus)
    if name == "multi_worker":
        return _multi_worker()
    if name == "tpu":
        return _tpu()
    return tf.distribute.get_strategy()


def _mirrored(num_cpus):
    if num_cpus:
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * num_cpus,
        )
        names = [f"CPU:{index}" for index in range(num_cpus)]
        return tf.distribute.MirroredStrategy(names)
    if not tf.config.list_physical_devices("GPU"):
        raise ValueError(
            "`config.strategy` 'mirrored' needs GPUs, and TensorFlow finds "
            "none here. Received: num_cpus=0. To try it out on the CPU, add "
            "`--config.num_cpus=2`."
        )
    return tf.distribute.MirroredStrategy()


def _check_workers(batch_size):
    """Refuses early what would otherwise show once all workers wait."""
    count = len(read_machines(os.environ.get("TF_CONFIG")).addresses)
    replicas = count * max(1, len(tf.config.list_physical_devices("GPU")))
    if batch_size % replicas:
        raise ValueError(
            "`config.data.batch_size` must be a multiple of the replicas that "
            f"share a batch, {replicas}: `TF_CONFIG` lists {count} workers. "
            f"Received: {batch_size}."
        )


def _multi_worker():
    machines = read_machines(os.environ["TF_CONFIG"])
    check_port(machines)
    this, addresses = machines.index, machines.addresses
    others = ", ".join(addresses[:this] + addresses[this + 1 :]) or "none"
    print(f"worker {this} of {len(addresses)} waits for {others}", flush=True)
    try:
        with _killable():
            return tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        raise ConnectionError(
            "The workers of `TF_CONFIG` did not come together. TensorFlow "
            f"says: {str(error).splitlines()[0]} End those that still run, "
            "and start all of them again by the same command."
        ) from error


@contextlib.contextmanager
def _killable():
    """Lets Ctrl-C and SIGTERM end a process while TensorFlow waits, and later.

    Python sees Ctrl-C only after TensorFlow has returned, and TensorFlow
    catches SIGTERM without need.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    term = signal.getsignal(signal.SIGTERM)
    interrupt = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, interrupt)
        signal.signal(signal.SIGTERM, term)


def _tpu():
    name = os.environ.get("TPU_NAME", "local")
    resolvers = tf.distribute.cluster_resolver
    try:
        resolver = resolvers.TPUClusterResolver.connect(name)
    except (ValueError, OSError, ImportError, tf.errors.OpError) as error:
        raise ValueError(
            "`config.strategy` 'tpu' needs a TPU, of this machine or named by "
            "the environment variable `TPU_NAME`, and TensorFlow reaches none. "
            f"Received: TPU_NAME={name!r}, of which it says: "
            f"{str(error).splitlines()[0][:200]}"
        ) from error
    return tf.distribute.TPUStrategy(resolver)


def shared(batches_of):
    """Returns the batches that the replicas of a run share, ready for `fit`.

    To be called inside the scope of the strategy. `batches_of` returns a
    `tf.data.Dataset` by `num_shards` and `shard`, such as
    `ImagePipeline.test`; each of several workers computes only the rows of its
    own replicas. Also returns the number of steps, or `None` where `fit` finds
    it out itself.
    """
    current = tf.distribute.get_strategy()
    if not is_multi_worker(current):
        return batches_of(num_shards=1, shard=0), None
    batches = current.distribute_datasets_from_function(
        functools.partial(_of_worker, batches_of)
    )
    one = batches_of(num_shards=current.num_replicas_in_sync, shard=0)
    return batches, int(one.cardinality())


def _of_worker(batches_of, context):
    """Returns the batches of one worker's replicas, in turn."""
    replicas = context.num_replicas_in_sync // context.num_input_pipelines
    first = context.input_pipeline_id * replicas
    shards = [
        batches_of(num_shards=context.num_replicas_in_sync, shard=shard)
        for shard in range(first, first + replicas)
    ]
    turns = tf.data.Dataset.range(replicas).repeat()
    return tf.data.Dataset.choose_from_datasets(shards, turns)
