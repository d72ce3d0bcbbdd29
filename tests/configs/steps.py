"""One step of training of a config's members."""

import numpy as np

import keras_superweights as ksw
from trainers.phases import experiment


def train_a_step(config):
    """Checks that a step changes the network; returns it and its images."""
    experiment.check(config)
    members = experiment.members(config)
    network = ksw.SuperWeightNetwork(
        members,
        allocation=experiment.allocate(config, members),
        weight_decay=config.optimizer.weight_decay,
    )
    # Eagerly: one step of a graph costs mostly its tracing.
    network.compile(
        experiment.optimizer(config, 1, 1),
        experiment.loss(config),
        run_eagerly=True,
    )
    before = [v.numpy() for v in network.trainable_variables]
    rng = np.random.default_rng(0)
    shape, classes = members[0].input_shape[1:], members[0].output_shape[-1]
    images = rng.normal(size=(4, *shape)).astype("float32")
    labels = rng.integers(0, classes, 4)
    if config.data.label_smoothing:
        labels = np.eye(classes)[labels]
    assert np.isfinite(network.train_on_batch(images, labels)).all()
    changed = [
        np.any(v.numpy() != old)
        for v, old in zip(network.trainable_variables, before, strict=True)
    ]
    assert np.mean(changed) > 0.9
    return network, images
