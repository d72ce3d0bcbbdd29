"""Trains a network whose parameters are most of its memory, and measures.

Prints the growth of resident memory in bytes, at its peak, and what
`plan_training` says. A process of its own: a peak is never forgotten.
"""

import keras
import numpy as np

import keras_superweights as ksw
from keras_superweights.planning import plan_training

SHARING = ksw.sharing.MixtureEnsembles()


def resident(name):
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith(name):
                return 1024 * int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {name}.")


def build(width):
    layers = [keras.layers.Dense(width) for _ in range(6)]
    return keras.Sequential(
        [keras.Input((width,)), *layers, keras.layers.Dense(2)]
    )


def train(width, steps):
    """Batches of two: next to the kernels, activations are nothing."""
    network = ksw.SuperWeightNetwork(lambda: build(width), 0.4, SHARING)
    network.compile(
        "adamw", keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    for _ in range(steps):
        network.train_on_batch(np.ones((2, width)), np.zeros(2, int))
    return network.allocation


def main():
    train(8, steps=1)  # what TensorFlow needs for any step at all
    before = resident("VmRSS")
    allocation = train(1792, steps=2)
    plan = plan_training(lambda: build(1792), allocation, "adamw")
    print(resident("VmHWM") - before, plan.shared.peak)


if __name__ == "__main__":
    main()
