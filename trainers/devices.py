"""The devices that a run trains on."""

import contextlib

import tensorflow as tf

STRATEGIES = ("one_device", "mirrored")


def scope(config):
    """Returns the context to build and train in; to be called first of all.

    `"mirrored"` uses every GPU of the machine, or, with `num_cpus`, as many
    logical CPUs, which show on any machine that replicas work.

    Raises:
        ValueError: If there is nothing to mirror on.
    """
    if config.strategy == "one_device":
        return contextlib.nullcontext()
    if config.num_cpus:
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * config.num_cpus,
        )
        names = [f"CPU:{index}" for index in range(config.num_cpus)]
        return tf.distribute.MirroredStrategy(names).scope()
    if not tf.config.list_physical_devices("GPU"):
        raise ValueError(
            "`config.strategy` 'mirrored' needs GPUs, and TensorFlow finds "
            "none here. Received: num_cpus=0. To try it out on the CPU, add "
            "`--config.num_cpus=2`."
        )
    return tf.distribute.MirroredStrategy().scope()
