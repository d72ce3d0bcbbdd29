"""A run from its config to its metrics; read it from top to bottom."""

from functools import partial

import keras
import tensorflow as tf

import keras_superweights as ksw
from keras_superweights import figures
from keras_superweights import files
from keras_superweights.training.finite import check_epoch
from trainers.devices.strategy import shared
from trainers.devices.strategy import strategy
from trainers.phases import baselines
from trainers.phases import experiment
from trainers.phases import kinds
from trainers.phases import optimizers
from trainers.phases import report
from trainers.phases.learning import learn
from trainers.phases.logs import EpochLine
from trainers.phases.measuring import measure
from trainers.phases.search import search
from trainers.runs.backup import Backup
from trainers.runs.backup import told_of_divergence
from trainers.runs.reading import read_json
from trainers.runs.workdir import Workdir
from trainers.runs.workers import own_workdir


def train(config, path, start_over=False):
    """Trains a config, resuming an interrupted run; returns its metrics.json.

    With `start_over`, discards an earlier run in the directory.

    Raises:
        ValueError: If the config does not describe a run, or the directory
            belongs to something else; nothing is written or deleted then. If
            an epoch ends with a loss or weights that are not finite; backups
            of the epochs before are kept then.
    """
    # Config. Errors in it, in devices, data, members or budget show before the
    # first file is written.
    experiment.check(config)
    workdir = Workdir(path)
    workdir.check(None if start_over else config)
    if workdir.metrics.exists() and not start_over:
        return read_json(workdir.metrics, report.FORM)

    # Devices, before anything else touches TensorFlow.
    devices = strategy(config.strategy, config.num_cpus, config.data.batch_size)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()

    # Data, also those to measure on: both open their files.
    images = experiment.pipeline(config)
    batches, split = images.measured()

    # Members, without memory, and the allocation to start from.
    start = experiment.allocate(config, experiment.members(config))
    one = None
    if config.one_network:
        one = baselines.one_network(config)
        Workdir(workdir.one_network).check(None if start_over else one)

    with (
        own_workdir(devices, workdir, config, start_over) as own,
        told_of_divergence(own),
    ):
        with devices.scope():
            # Sharing: by the rule, or by a search.
            allocation, found, seconds = _find(config, own, images, start)
            print(allocation, end="\n\n", flush=True)

            # Every phase starts from the seed, whether earlier ones were done
            # in this process or not.
            keras.utils.set_random_seed(config.seed)
            network = ksw.SuperWeightNetwork(
                experiment.members(config),
                allocation=allocation,
                ensemble=kinds.kind(config),
                **optimizers.of_network(config),
            )
            network.compile(
                experiment.optimizer(
                    config, images.steps_per_epoch, images.num_train
                ),
                experiment.loss(config),
                metrics=["accuracy"],
                jit_compile=experiment.jit_compile(config),
            )
            backup = Backup(own.backup)
            _fit(config, own, images, network, allocation, found, backup)
            with files.replacing(own.model) as unfinished:
                network.save(unfinished)
            own.write_allocation(network.allocation)

        # One network of the same size, by a run of its own.
        compared = None
        if one:
            print("\nOne network of the same size:\n", flush=True)
            compared = train(one, workdir.one_network)["members"][0]

        # Report.
        logits, labels = ksw.metrics.predict_members(network, batches)
        metrics = {
            "split": split,
            **measure(network, logits, labels),
            "seed": config.seed,
            "epochs": config.epochs,
            "seconds": seconds + sum(backup.history["seconds"]),
            "search": found
            and {
                "tau": found.tries[-1].tau,
                "beta": config.search.beta,
                "num_clusters": found.tries[-1].num_clusters,
                "num_start_clusters": len(found.similarities),
            },
            "one_network": compared,
        }
        answers = ksw.metrics.ensemble_probabilities(logits), labels
        ksw.callbacks.write_figures(
            own.logs,
            {
                "training/curves": figures.training_curves(backup.history),
                "evaluation/reliability": figures.reliability(*answers),
                "evaluation/anytime": figures.anytime_curve(metrics["anytime"]),
            },
            step=config.epochs,
            figures_dir=own.figures,
        )
        files.write_json(own.metrics, metrics)
        return metrics


def _find(config, workdir, images, start):
    """Returns the allocation to train, its `Refinement` or None, seconds."""
    if experiment.learns_stores(config):
        allocation, seconds = learn(config, workdir, images, start)
        return allocation, None, seconds
    if config.search.pretrain_epochs:
        found, seconds = search(config, workdir, images, start)
        return found.allocation, found, seconds
    return start, None, 0.0


def _fit(config, workdir, images, network, allocation, found, backup):
    """Trains the epochs that are not in the backup."""
    done = backup.restore(network)
    check_epoch(network, done - 1)  # older versions went on with NaN
    workdir.keep_allocation(allocation, network.allocation)
    if done == config.epochs:
        return
    _, split = images.measured()
    training, _ = shared(partial(images.train, config.epochs, first_epoch=done))
    validation, steps = shared(lambda **shard: images.measured(**shard)[0])
    network.fit(
        training,
        initial_epoch=done,
        epochs=config.epochs,
        steps_per_epoch=images.steps_per_epoch,
        validation_data=validation,
        validation_steps=steps,
        # Shuffled by the pipeline, as a function of the epoch.
        shuffle=False,
        # An epoch that is not finite is refused first. Ties change before the
        # others report and keep an epoch's end. The backup comes last: it
        # marks the epoch as done.
        callbacks=[
            keras.callbacks.LambdaCallback(
                on_epoch_end=partial(check_epoch, network)
            ),
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
