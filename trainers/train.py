"""Trains an ensemble inside a budget, measures it, and saves it all.

    python -m trainers.train --config configs/digits.py --workdir runs/digits

Any value of the config can be given on the command line:
`--config.budget_params=0.4 --config.seed=1`. The files of a run are listed in
`workdir.py`. The same command continues a run that was interrupted, and only
prints the report of one that is finished; with `deterministic`, a run ends with
the same weights whether it was interrupted or not.
"""

import keras
import tensorflow as tf
from absl import app
from absl import flags
from absl import logging
from ml_collections import config_flags

import keras_superweights as ksw
from keras_superweights import figures
from trainers import experiment
from trainers import report
from trainers.backup import Backup
from trainers.logs import EpochLine
from trainers.logs import EpochLogs
from trainers.logs import write_figures
from trainers.workdir import Workdir
from trainers.workdir import read_json
from trainers.workdir import replacing
from trainers.workdir import write_json


def train(config, path, start_over=False):
    """Trains what a config describes, or what of it is still to be done.

    Args:
        config: The `ConfigDict` of a file in `configs/`.
        path: The run's directory.
        start_over: Whether to discard an earlier run in that directory.

    Returns:
        What is in the run's metrics.json.

    Raises:
        ValueError: If the config does not describe a run, or the directory
            belongs to something else. Nothing is written or deleted then.
    """
    experiment.check(config)
    workdir = Workdir(path)
    workdir.check(None if start_over else config)
    if workdir.metrics.exists() and not start_over:
        return read_json(workdir.metrics)

    # Devices before anything else touches TensorFlow. The seed after the data:
    # tfds draws random names while it prepares a set.
    devices = experiment.devices(config)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    images = experiment.pipeline(config)
    keras.utils.set_random_seed(config.seed)

    # Whatever is wrong with data, members or budget has shown itself before
    # the first file is written.
    members = experiment.members(config)
    allocation = experiment.allocate(config, members)
    workdir.open(config, start_over)
    if workdir.allocation.exists():
        text = workdir.allocation.read_text()
        allocation = ksw.Allocation.from_json(text)
    with replacing(workdir.allocation) as unfinished:
        unfinished.write_text(allocation.to_json())
    print(allocation, end="\n\n", flush=True)

    with devices:
        network = ksw.SuperWeightNetwork(
            members,
            allocation=allocation,
            weight_decay=config.optimizer.weight_decay,
            decay_batch_norm=config.optimizer.decay_batch_norm,
        )
        network.compile(
            experiment.optimizer(config, images.steps_per_epoch),
            experiment.loss(config),
            metrics=["accuracy"],
            # XLA does not go with MirroredStrategy, and to compile a small
            # network takes longer than to train it.
            jit_compile=False,
        )
        backup = Backup(workdir.backup)
        done = backup.restore(network)
        if done < config.epochs:
            network.fit(
                images.train(config.epochs, first_epoch=done),
                initial_epoch=done,
                epochs=config.epochs,
                steps_per_epoch=images.steps_per_epoch,
                validation_data=images.test(),
                # Shuffled by the pipeline, as a function of the epoch.
                shuffle=False,
                # The backup comes last: what it says is done is logged.
                callbacks=[
                    EpochLine(),
                    EpochLogs(workdir.logs, allocation),
                    backup,
                ],
                verbose=0,
            )
        with replacing(workdir.model) as unfinished:
            network.save(unfinished)

    logits, labels = report.predict_members(network, images.test())
    metrics = {
        **report.measure(network, logits, labels),
        "seed": config.seed,
        "epochs": config.epochs,
        "seconds": sum(backup.history["seconds"]),
    }
    probabilities = ksw.metrics.ensemble_probabilities(logits)
    drawn = {
        "curves": figures.training_curves(backup.history),
        "reliability": figures.reliability(probabilities, labels),
        "anytime": figures.anytime_curve(metrics["anytime"]),
        "allocation": figures.allocation_bars(network.allocation),
    }
    workdir.figures.mkdir(exist_ok=True)
    for name, figure in drawn.items():
        figure.savefig(workdir.figures / f"{name}.png")
    write_figures(workdir.logs, drawn, step=config.epochs)
    write_json(workdir.metrics, metrics)
    return metrics


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unknown arguments: {argv[1:]}")
    logging.set_verbosity(logging.ERROR)
    options = flags.FLAGS
    metrics = train(options.config, options.workdir, options.start_over)
    workdir = Workdir(options.workdir)
    print()
    print(report.table(metrics))
    print(
        f"training    {metrics['epochs']} epochs in "
        f"{metrics['seconds']:.0f} seconds, seed {metrics['seed']}\n"
        f"model       {workdir.model}\n"
        f"metrics     {workdir.metrics}\n"
        f"figures     {workdir.figures}/*.png\n"
        f"logs        tensorboard --logdir {workdir.logs}"
    )


if __name__ == "__main__":
    config_flags.DEFINE_config_file(
        "config", None, "File of the experiment; `:quick` shortens it."
    )
    flags.DEFINE_string("workdir", None, "Directory of the run.")
    flags.DEFINE_bool("start_over", False, "Discard an earlier run there.")
    flags.mark_flags_as_required(["config", "workdir"])
    app.run(main)
