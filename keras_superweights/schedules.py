"""Learning rate schedules that warm up."""

import keras
from keras import ops

from keras_superweights.arguments import check_integer
from keras_superweights.arguments import check_type


@keras.saving.register_keras_serializable(package="keras_superweights")
class LinearWarmup(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly to another schedule, and then follows it.

        rate(step) = schedule(W) * (step + 1) / W    for step < W
                     schedule(step)                  from step W on

    The first of the `W = warmup_steps` steps is small, and the last has the
    rate with which the schedule continues. Large batches need this:
    [Goyal et al., 2017](https://arxiv.org/abs/1706.02677), section 2.2.

    Args:
        schedule: A `keras.optimizers.schedules.LearningRateSchedule`. Its
            steps are counted from the start, warm-up included.
        warmup_steps: int, at least 1.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If `warmup_steps` is below 1.

    Example:

    >>> steps = keras.optimizers.schedules.PiecewiseConstantDecay([9], [1, 0.1])
    >>> rate = LinearWarmup(steps, warmup_steps=4)
    >>> [float(rate(step)) for step in (0, 1, 3, 4, 9)]
    [0.25, 0.5, 1.0, 1.0, 1.0]
    """

    def __init__(self, schedule, warmup_steps):
        super().__init__()
        kind = keras.optimizers.schedules.LearningRateSchedule
        expected = "a `keras.optimizers.schedules.LearningRateSchedule`"
        check_type("schedule", schedule, isinstance(schedule, kind), expected)
        check_integer("warmup_steps", warmup_steps)
        self.schedule = schedule
        self.warmup_steps = warmup_steps

    def __call__(self, step):
        step = ops.cast(step, "float32")
        rise = ops.minimum((step + 1.0) / self.warmup_steps, 1.0)
        return rise * self.schedule(ops.maximum(step, self.warmup_steps))

    def get_config(self):
        return {
            "schedule": keras.optimizers.schedules.serialize(self.schedule),
            "warmup_steps": self.warmup_steps,
        }

    @classmethod
    def from_config(cls, config):
        schedule = keras.optimizers.schedules.deserialize(config["schedule"])
        return cls(schedule, config["warmup_steps"])
