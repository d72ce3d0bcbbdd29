"""Trains every case on two devices, one step each.

    python -m tests.contracts.replicas_program FILE

Writes the weights of each case to FILE (.npz), as "name/index". A program of
its own: a process should hold one MirroredStrategy, and logical devices are
set before any tensor is made.
"""

import sys

import numpy as np
import tensorflow as tf

from tests.contracts import cases


def main(path):
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * 2
    )
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    found = {}
    for name in cases.CASES:
        with strategy.scope():
            network = cases.build(name)
        x, y = cases.batch(network)
        data = tf.data.Dataset.from_tensor_slices((x, y)).batch(len(x))
        network.fit(data, verbose=0)
        for index, value in enumerate(network.get_weights()):
            found[f"{name}/{index}"] = value
    np.savez(path, **found)


if __name__ == "__main__":
    main(sys.argv[1])
