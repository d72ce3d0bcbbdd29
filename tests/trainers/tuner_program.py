"""Searches with trials that take a moment."""

import time
import types

import keras
from keras_tuner.src.distribute import oracle_chief
from ml_collections import ConfigDict

from configs import digits
from keras_superweights.files import write_json
from trainers import tune
from trainers.runs.workdir import Workdir
from trainers.tuning import parallel
from trainers.tuning import tuning

NUM_TRIALS = 8


def make_config(data_dir):
    """Of members small enough to be allocated in no time."""
    config = digits.get_config("quick")
    config.data.data_dir = data_dir
    config.data.train_split = "train[:64]"
    config.data.batch_size = 16
    config.members = (MEMBERS[0],)
    config.deterministic = False
    return config


MEMBERS = tuple(
    {
        "model": "densenet_bc",
        "depth": 10,
        "growth": growth,
        "name": f"grows_by_{growth}",
    }
    for growth in (2, 3)
)


def make_space():
    return ConfigDict(
        {
            "budget_params": (0.3, 2.0),
            "learning_rate": (0.01, 1.0),
            "tau": (-0.5, 0.5),
            "beta": (0.0, 1.0),
            "depth_bins": (1, 2),
            "max_templates": (2, 8),
            "num_members": (1, 2),
            "members": MEMBERS,
        }
    )


def measure(config):
    """What comes out depends on the config alone."""
    accuracy = 1 - abs(config.search.tau) / config.epochs
    return {
        "split": "validation",
        "accuracy": accuracy,
        "nll": config.optimizer.learning_rate - accuracy / 10,
        "ece": config.search.beta / 10,
        "diversity": None,
        "trainable_parameters": int(1000 * config.budget_params),
        "budget_params": int(1000 * config.budget_params) + 1,
        "members": [],
    }


class FakeTrain:
    """Stands in for `training.train`.

    Args:
        seconds: How long it takes.
    """

    def __init__(self, seconds=0.0):
        self.seconds = seconds

    def __call__(self, config, path):
        workdir = Workdir(path)
        workdir.check(config)
        workdir.open(config)
        with (path / "began.txt").open("a") as file:
            file.write("began\n")
        print("training")
        time.sleep(self.seconds)
        backup = workdir.backup / "epoch-000002"
        backup.mkdir(parents=True, exist_ok=True)
        metrics = measure(config)
        history = {"val_loss": [9.0, metrics["nll"] + 1], "seconds": [1, 1]}
        write_json(backup / "history.json", history)
        write_json(workdir.metrics, metrics)
        return metrics


def main(workdir, data_dir, seconds):
    """A program: by KerasTuner's environment variables a chief or a worker."""
    tuning.train = FakeTrain(seconds)
    # What takes its time, and is tested in one process.
    tuning.Tuning.allocation = lambda self, settings: None
    keras.utils.clear_session = lambda: None
    parallel.PATIENCE_SECONDS = 60
    # At its end, a chief looks only every twenty seconds for its workers.
    oracle_chief.time = types.SimpleNamespace(sleep=lambda _: time.sleep(0.1))
    config, space = make_config(data_dir), make_space()
    tune.tune(config, space, workdir, num_trials=NUM_TRIALS)
