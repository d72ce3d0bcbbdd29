"""Measures the trained network of a run again, and writes nothing.

    python -m trainers.evaluate --workdir runs/digits

Prints the table that the run ended with, of the model as it was saved;
`--split` measures it on other images of the same set, `--data_dir` looks for
the set elsewhere.
"""

import keras
from absl import app
from absl import flags
from absl import logging
from ml_collections import ConfigDict

from trainers import experiment
from trainers import report
from trainers.workdir import Workdir
from trainers.workdir import read_json


def evaluate(path, split=None, data_dir=None):
    """Measures the model that a run has saved.

    Args:
        path: The run's directory.
        split: A tfds split, such as `"train[:1000]"`. Defaults to the
            config's `test_split`.
        data_dir: The tfds directory. Defaults to the config's.

    Returns:
        The dict of `report.measure`.

    Raises:
        ValueError: If there is no run, or it is not finished.
    """
    workdir = Workdir(path)
    if not workdir.config.exists():
        raise ValueError(
            "`--workdir` must be the directory of a run. Received: "
            f"{workdir.path}, which has no config.json."
        )
    if not workdir.model.exists():
        raise ValueError(
            f"The run in {workdir.path} has no model.keras: it is not "
            "finished. The command that started it continues it."
        )
    config = ConfigDict(read_json(workdir.config))
    experiment.check(config)
    if split is not None:
        config.data.test_split = split
    if data_dir is not None:
        config.data.data_dir = data_dir
    images = experiment.pipeline(config)
    network = keras.saving.load_model(workdir.model)
    logits, labels = report.predict_members(network, images.test())
    return report.measure(network, logits, labels)


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unknown arguments: {argv[1:]}")
    logging.set_verbosity(logging.ERROR)
    options = flags.FLAGS
    metrics = evaluate(options.workdir, options.split, options.data_dir)
    print(report.table(metrics))


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "Directory of the run.")
    flags.DEFINE_string("split", None, "Split, or the config's.")
    flags.DEFINE_string("data_dir", None, "Where tfds' sets lie.")
    flags.mark_flags_as_required(["workdir"])
    app.run(main)
