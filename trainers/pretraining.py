"""What the phases have in common of which only a measurement is kept."""

from functools import partial

import keras

from trainers import devices
from trainers import experiment
from trainers.backup import Backup
from trainers.logs import EpochLine


def check_measured(measured, workdir):
    """Refuses to measure anew what a run's allocation follows from.

    Raises:
        ValueError: If the run has an allocation.
    """
    if workdir.allocation.exists():
        raise ValueError(
            f"A run that has {workdir.allocation} must also have "
            f"{measured}, from which it follows. Received: none. Put the "
            "file back, or discard the run with `--start_over`."
        )


def begin(config, directory, images, name):
    """Sets the seed, and looks where an interrupted pretraining was.

    Args:
        config: The `ConfigDict` of the run.
        directory: `pathlib.Path` of the phase's files.
        images: The run's `ImagePipeline`.
        name: What the lines of its epochs begin with.

    Returns:
        `(arguments, backup)`: the arguments that all pretrainings of the
        library take, `data` among them; and the `PretrainingBackup`, for its
        history.
    """
    keras.utils.set_random_seed(config.seed)
    epochs = config.search.pretrain_epochs
    backup = PretrainingBackup(directory / "backup", epochs)
    done = backup.epochs_done
    data, _ = devices.shared(partial(images.train, epochs, first_epoch=done))
    arguments = {
        "data": data,
        "pretrain_epochs": epochs,
        "steps_per_epoch": images.steps_per_epoch,
        # The recipe of the training that follows, of which these are the
        # first epochs.
        "optimizer": experiment.optimizer(config, images.steps_per_epoch),
        "loss": experiment.loss(config),
        "weight_decay": config.optimizer.weight_decay,
        "decay_batch_norm": config.optimizer.decay_batch_norm,
        "jit_compile": config.jit_compile,
        "callbacks": [EpochLine(name), backup],
        "initial_epoch": done,
        "verbose": 0,
    }
    return arguments, backup


class PretrainingBackup(Backup):
    """Restores the network that a search trains, when it begins.

    There is no backup of the last epoch: what it measures would not be in it.
    A run that is killed after it, before the end of the search, trains that
    epoch again.
    """

    def __init__(self, directory, epochs):
        super().__init__(directory)
        self._epochs = epochs

    def on_train_begin(self, logs=None):
        self.restore(self.model)

    def _save(self, epochs_done):
        if epochs_done < self._epochs:
            super()._save(epochs_done)
