"""One run of several workers: one directory, and its end if one is lost.

All workers run the same program, since reading a variable that is summed over
replicas needs every one of them. Only the chief works in the run's directory;
the others work in copies, made at the beginning and removed at the end. So all
resume from the same backup, only the chief writes what is kept, and no program
asks which worker it is.

TensorFlow tells a worker that another one is gone: at once if its process has
ended, after some ten seconds if its machine has.
"""

import contextlib
import re
import shutil
import tempfile
import zlib

import tensorflow as tf

from keras_superweights.training.distribution import is_multi_worker
from trainers.runs.backup import kept
from trainers.runs.lock import only_process
from trainers.runs.workdir import Workdir

# Paths of a `Workdir` that resuming reads.
_COPIED = ("config", "allocation", "search", "backup")


@contextlib.contextmanager
def own_workdir(strategy, workdir, config, start_over=False):
    """Opens a run's directory for the chief, and a copy for other workers.

    The directory is locked until the end, by the process that writes there.
    Takes the run's strategy, its `Workdir`, which every worker has to see, and
    the arguments of `Workdir.open`; yields the `Workdir` to work in.

    Raises:
        ValueError: As `Workdir.open` does; if another process works there; or
            if a worker does not see the directory of the chief.
        ConnectionError: If a worker is lost.
    """
    if not is_multi_worker(strategy):
        with only_process(workdir.path):
            workdir.open(config, start_over)
            yield workdir
        return
    is_chief = strategy.extended.should_checkpoint
    with (
        _told_of_losses(strategy, workdir),
        contextlib.ExitStack() as opened,
    ):
        # A worker that refuses the config has ended before the chief writes.
        _of_all_workers(strategy, 0)
        if is_chief:
            opened.enter_context(only_process(workdir.path))
            workdir.open(config, start_over)
            own = workdir
        _of_all_workers(strategy, 0)
        if not is_chief:
            other = opened.enter_context(tempfile.TemporaryDirectory())
            own = _copy(workdir, config, other)
        seen = _of_all_workers(strategy, _digest(own))
        different = [i for i, each in enumerate(seen) if each != seen[0]]
        if different:
            raise _not_shared(
                workdir,
                f"workers {different} find other files than the chief. "
                "Give them the same, or wait until its file system shows "
                "what the last run wrote.",
            )
        yield own


def _not_shared(workdir, found):
    return ValueError(
        "`--workdir` must be one directory that all workers see. Received: "
        f"{workdir.path}, in which {found}"
    )


def _copy(workdir, config, directory):
    if not workdir.config.exists():
        found = "this worker does not find the config.json of the chief."
        raise _not_shared(workdir, found)
    workdir.check(config)
    copy = Workdir(directory)
    for name in _COPIED:
        source, target = getattr(workdir, name), getattr(copy, name)
        if source.is_dir():
            shutil.copytree(source, target)
        elif source.exists():
            shutil.copyfile(source, target)
    return copy


def _digest(workdir):
    """Returns a number that identifies the files to resume from."""
    found = [getattr(workdir, name) for name in _COPIED]
    found += [file for path in found for file in path.rglob("*")]
    files = [
        (str(file.relative_to(workdir.path)), file.stat().st_size)
        for file in found
        if file.is_file()
    ]
    # Exact as float32, which the collectives of all devices take.
    return zlib.crc32(repr(sorted(files)).encode()) % 2**24


def _of_all_workers(strategy, number):
    """Returns the numbers of all workers, in order; waits for them."""

    def gather():
        replica = tf.distribute.get_replica_context()
        return replica.all_gather(tf.constant([float(number)]), axis=0)

    gathered = tf.function(strategy.run)(gather)
    numbers = strategy.experimental_local_results(gathered)[0].numpy()
    return numbers[:: len(strategy.extended.worker_devices)].tolist()


@contextlib.contextmanager
def _told_of_losses(strategy, workdir):
    """Turns the loss of a worker into a plain error with its remedy."""
    try:
        yield
    except tf.errors.OpError as error:
        _, aborted, told = str(error).partition("Collective ops is aborted by:")
        if not aborted:
            raise
        this = strategy.cluster_resolver
        others = [
            f" ({job} {index})"
            for job, index in re.findall("/job:([a-z]+).*?/task:([0-9]+)", told)
            if (job, int(index)) != (this.task_type, this.task_id)
        ]
        raise ConnectionError(
            f"A worker is gone{others[0] if others else ''}, and without it "
            "none can train. TensorFlow says: "
            f"{told.strip().splitlines()[0].strip(' .:')}. {kept(workdir)} "
            "Start all workers again, by the same command, to go on."
        ) from error
