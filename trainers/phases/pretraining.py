"""What the search and the learning of stores have in common."""

from functools import partial

import keras

from trainers.devices.strategy import shared
from trainers.phases import experiment
from trainers.phases.logs import EpochLine
from trainers.runs.backup import Backup


def check_measured(measured, workdir):
    """Refuses to measure again what a run's allocation follows from.

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
    """Sets the seed, and looks up where a pretraining was interrupted.

    Args:
        config: The `ConfigDict` of the run.
        directory: `pathlib.Path` of the phase's files.
        images: The run's `ImagePipeline`.
        name: The first word of the lines that its epochs print.

    Returns:
        `(arguments, backup)`: the arguments that all pretrainings of the
        library take, such as `data`, and the `PretrainingBackup`, for its
        history.
    """
    keras.utils.set_random_seed(config.seed)
    epochs = config.search.pretrain_epochs
    backup = PretrainingBackup(directory / "backup", epochs)
    done = backup.epochs_done
    data, _ = shared(partial(images.train, epochs, first_epoch=done))
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
        "jit_compile": experiment.jit_compile(config),
        "callbacks": [EpochLine(name), backup],
        "initial_epoch": done,
        "verbose": 0,
    }
    return arguments, backup


class PretrainingBackup(Backup):
    """Restores the network that a search trains, when it begins.

    There is no backup of the last epoch, which would lack what it measures. A
    run that is killed between this epoch and the end of the search trains the
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
