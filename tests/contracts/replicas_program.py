"""Trains every case on one device and on two; prints how far apart they end.

A program of its own: a process holds one MirroredStrategy, and logical
devices are set before any tensor is made. Prints one line of JSON.
"""

import json
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

import numpy as np
import tensorflow as tf

from tests.contracts import cases

CPU = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    CPU, [tf.config.LogicalDeviceConfiguration() for _ in range(2)]
)


def main():
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    found = {}
    for name in cases.CASES:
        one = cases.build(name)
        with strategy.scope():
            two = cases.build(name)
        two.set_weights(one.get_weights())
        x, y = cases.batch(one)
        data = tf.data.Dataset.from_tensor_slices((x, y)).batch(len(x))
        for network in (one, two):
            network.fit(data, verbose=0)
        found[name] = max(
            float(np.abs(a - b).max())
            for a, b in zip(one.get_weights(), two.get_weights(), strict=True)
        )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
