"""Trains one variant of one regime with one seed; writes its figures.

python -m benchmarks.quality.run B mixture 0 out.json --data_dir DIR
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import pathlib
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


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("regime", choices=REGIMES)
    parser.add_argument("variant", choices=VARIANTS)
    parser.add_argument("seed", type=int)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--data_dir")
    arguments = parser.parse_args()
    # Processes side by side use the cores better than threads do.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    start = time.perf_counter()
    figures = train(
        REGIMES[arguments.regime],
        arguments.variant,
        arguments.seed,
        arguments.data_dir,
    )
    figures["seconds"] = time.perf_counter() - start
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    write_json(arguments.output, figures)


if __name__ == "__main__":
    main()
