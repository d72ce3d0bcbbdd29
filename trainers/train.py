"""Trains an ensemble inside a budget, measures it, and saves it all.

Finds by a search what shares, trains, decouples coefficients on the way, and
evaluates: each as far as the config asks for it.

    python -m trainers.train --config configs/digits.py --workdir runs/digits

Any value of the config can be given on the command line:
`--config.budget_params=0.4 --config.seed=1`. The files of a run are listed in
`workdir.py`. The same command continues a run that was interrupted, and only
prints the report of one that is finished; with `deterministic`, a run ends with
the same weights whether it was interrupted or not.
"""

from functools import partial

import keras
import tensorflow as tf
from absl import app
from absl import flags
from absl import logging
from ml_collections import config_flags

import keras_superweights as ksw
from keras_superweights import figures
from trainers import devices
from trainers import experiment
from trainers import report
from trainers import run
from trainers import settings
from trainers.backup import Backup
from trainers.logs import EpochLine
from trainers.search import search
from trainers.stores import learn
from trainers.workdir import Workdir
from trainers.workdir import read_json
from trainers.workdir import replacing
from trainers.workdir import write_json
from trainers.workers import own_workdir


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
    settings.check(config)
    workdir = Workdir(path)
    workdir.check(None if start_over else config)
    if workdir.metrics.exists() and not start_over:
        return read_json(workdir.metrics)

    # Devices before anything else touches TensorFlow.
    strategy = devices.strategy(config)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    images = experiment.pipeline(config)
    images.measured()

    # Whatever is wrong with data, members or budget has shown itself before
    # the first file is written.
    allocation = experiment.allocate(config, experiment.members(config))
    with own_workdir(strategy, workdir, config, start_over) as own:
        return _train(config, own, strategy, images, allocation)


def _train(config, workdir, strategy, images, allocation):
    """Trains in an open directory, from an allocation to start with."""
    measured, split = images.measured()
    with strategy.scope():
        found, search_seconds = None, 0.0
        if experiment.learns_stores(config):
            allocation, search_seconds = learn(
                config, workdir, images, allocation
            )
        elif config.search.pretrain_epochs:
            found, search_seconds = search(config, workdir, images, allocation)
            allocation = found.allocation
        print(allocation, end="\n\n", flush=True)

        # Every phase starts from the seed, whether those before it were done
        # in this process or not.
        keras.utils.set_random_seed(config.seed)
        network = ksw.SuperWeightNetwork(
            experiment.members(config),
            allocation=allocation,
            weight_decay=config.optimizer.weight_decay,
            decay_batch_norm=config.optimizer.decay_batch_norm,
        )
        network.compile(
            experiment.optimizer(config, images.steps_per_epoch),
            experiment.loss(config),
            metrics=["accuracy"],
            jit_compile=config.jit_compile,
        )
        backup = Backup(workdir.backup)
        done = backup.restore(network)
        workdir.keep_allocation(allocation, network.allocation)
        if done < config.epochs:
            training, _ = devices.shared(
                partial(images.train, config.epochs, first_epoch=done)
            )
            validation, steps = devices.shared(
                lambda **shard: images.measured(**shard)[0]
            )
            network.fit(
                training,
                initial_epoch=done,
                epochs=config.epochs,
                steps_per_epoch=images.steps_per_epoch,
                validation_data=validation,
                validation_steps=steps,
                # Shuffled by the pipeline, as a function of the epoch.
                shuffle=False,
                # Ties change first: the others tell and keep what an epoch
                # ends with. The backup comes last: what it says is done is
                # logged.
                callbacks=[
                    *experiment.decoupling(config),
                    EpochLine(part=split),
                    ksw.callbacks.SharingInspector(
                        workdir.logs,
                        workdir.figures,
                        refinement=found,
                        # Ten images to look through.
                        every=-(-config.epochs // 10),
                    ),
                    backup,
                ],
                verbose=0,
            )
        with replacing(workdir.model) as unfinished:
            network.save(unfinished)
        workdir.write_allocation(network.allocation)

    logits, labels = ksw.metrics.predict_members(network, measured)
    metrics = {
        "split": split,
        **report.measure(network, logits, labels),
        "seed": config.seed,
        "epochs": config.epochs,
        "seconds": search_seconds + sum(backup.history["seconds"]),
        "search": found
        and {
            "tau": found.tries[-1].tau,
            "num_clusters": found.tries[-1].num_clusters,
            "num_start_clusters": len(found.similarities),
        },
    }
    probabilities = ksw.metrics.ensemble_probabilities(logits)
    ksw.callbacks.write_figures(
        workdir.logs,
        {
            "training/curves": figures.training_curves(backup.history),
            "evaluation/reliability": figures.reliability(
                probabilities, labels
            ),
            "evaluation/anytime": figures.anytime_curve(metrics["anytime"]),
        },
        step=config.epochs,
        figures_dir=workdir.figures,
    )
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
    search_too = ""
    if metrics["search"]:
        search_too = ", search included"
        print(
            "search      {num_start_clusters} clusters by depth, "
            "{num_clusters} by similarity (tau {tau:g})".format(
                **metrics["search"]
            )
        )
    print(
        f"training    {metrics['epochs']} epochs in "
        f"{metrics['seconds']:.0f} seconds{search_too}, "
        f"seed {metrics['seed']}\n"
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
    run(main)
