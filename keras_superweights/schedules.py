"""Learning rates that begin small."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_superweights")
class LinearWarmup(keras.optimizers.schedules.LearningRateSchedule):
    """Rises to a schedule in a straight line, and then follows it.

        rate(step) = schedule(W) * (step + 1) / W    for step < W
                     schedule(step)                  from step W on

    so that the first step moves a little, and the last of the `W =
    warmup_steps` has the rate that the schedule goes on with. Large batches
    need it: [Goyal et al., 2017](https://arxiv.org/abs/1706.02677),
    section 2.2.

    Args:
        schedule: A `keras.optimizers.schedules.LearningRateSchedule`, which
            counts its steps from the very first one.
        warmup_steps: int, at least 1.

    Raises:
        ValueError: If `warmup_steps` is below 1.

    Example:

    >>> steps = keras.optimizers.schedules.PiecewiseConstantDecay([9], [1, 0.1])
    >>> rate = LinearWarmup(steps, warmup_steps=4)
    >>> [float(rate(step)) for step in (0, 1, 3, 4, 9)]
    [0.25, 0.5, 1.0, 1.0, 1.0]
    """

    def __init__(self, schedule, warmup_steps):
        super().__init__()
        if warmup_steps < 1:
            raise ValueError(
                "`warmup_steps` must be at least 1. "
                f"Received: warmup_steps={warmup_steps}."
            )
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
