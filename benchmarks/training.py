"""Training by a config's recipe, for programs that compare networks."""

import keras_superweights as ksw
from trainers.phases import experiment


def trained(network, config, images, callbacks=()):
    """Trains a network for the config's epochs and predicts the test split.

    Args:
        network: A `SuperWeightNetwork`, not compiled.
        config: The `ConfigDict` of an experiment.
        images: Its `ImagePipeline`.
        callbacks: As for `fit`.

    Returns:
        `(logits, labels)`, as of `ksw.metrics.predict_members`.
    """
    network.compile(
        experiment.optimizer(config, images.steps_per_epoch),
        experiment.loss(config),
    )
    network.fit(
        images.train(config.epochs),
        epochs=config.epochs,
        steps_per_epoch=images.steps_per_epoch,
        shuffle=False,
        callbacks=list(callbacks),
        verbose=0,
    )
    return ksw.metrics.predict_members(network, images.test())
