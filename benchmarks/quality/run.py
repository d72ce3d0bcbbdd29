"""Trains one variant of one regime with one seed; writes its figures."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import time

import keras
import tensorflow as tf

import keras_superweights as ksw
from benchmarks.quality.regimes import REGIMES
from benchmarks.quality.variants import VARIANTS
from keras_superweights import metrics
from keras_superweights.files import write_json
from keras_superweights.models.narrowing import count
from trainers.phases import experiment


def train(regime, variant, seed, data_dir=None):
    """Trains one network by the regime's recipe.

    Returns:
        A dict of its figures on the test images, its number of trainable
        scalars, and its allocation as text.
    """
    config = regime.config(seed, data_dir)
    images = experiment.pipeline(config)
    members = experiment.members(config)
    keras.utils.set_random_seed(seed)
    members, allocation, callbacks = VARIANTS[variant](regime, config, members)
    keras.utils.set_random_seed(seed)  # whatever a search drew before
    network = ksw.SuperWeightNetwork(
        members,
        allocation=allocation,
        weight_decay=config.optimizer.weight_decay,
    )
    network.compile(
        experiment.optimizer(config, images.steps_per_epoch, images.num_train),
        experiment.loss(config),
    )
    network.fit(
        images.train(config.epochs),
        epochs=config.epochs,
        steps_per_epoch=images.steps_per_epoch,
        shuffle=False,
        callbacks=callbacks,
        verbose=0,
    )
    logits, labels = metrics.predict_members(network, images.test())
    measured = metrics.evaluate_members(logits, labels, [1] * len(logits))
    return {
        **{m: measured[m] for m in ("accuracy", "nll", "ece", "diversity")},
        "member_accuracy": [m["accuracy"] for m in measured["members"]],
        "member_nll": [m["nll"] for m in measured["members"]],
        "params": count([network]),
        "allocation": str(network.allocation).splitlines(),
    }


def run(regime, variant, seed, path, data_dir=None):
    """Trains a variant of a regime, both by name; writes its figures."""
    start = time.perf_counter()
    figures = train(REGIMES[regime], variant, seed, data_dir)
    figures["seconds"] = time.perf_counter() - start
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, figures)


def use_one_thread():
    """Begins a process: side by side they use the cores better than threads."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
