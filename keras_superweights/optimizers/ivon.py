"""IVON: an optimizer that learns a distribution of the weights."""

import math
import random

import keras
import tensorflow as tf
from keras import ops

from keras_superweights.arguments import check_bool
from keras_superweights.arguments import check_choice
from keras_superweights.arguments import check_integer
from keras_superweights.arguments import is_number

ESTIMATORS = ("price", "gradsq")
_FRACTION = "a number from 0 on and below 1", lambda value: 0 <= value < 1
_NUMBERS = {
    "ess": (
        "the number of training examples, not of batches, at least 1",
        lambda value: 1 <= value < math.inf,
    ),
    "beta_1": _FRACTION,
    "beta_2": _FRACTION,
    "weight_decay": (
        "a finite number from 0 on",
        lambda value: 0 <= value < math.inf,
    ),
    "hessian_init": (
        "a finite number above 0",
        lambda value: 0 < value < math.inf,
    ),
    "clip_radius": ("a number above 0", lambda value: value > 0),
}
# Arguments of Keras' optimizers that change or add up gradients.
_OF_GRADIENTS = {
    "clipnorm": "`clip_radius`",
    "clipvalue": "`clip_radius`",
    "global_clipnorm": "`clip_radius`",
    "gradient_accumulation_steps": "`mc_samples` or larger batches",
}


def check_arguments(**arguments):
    """Raises an error for what `IVON` does not take; makes no variable."""
    for name, value in arguments.items():
        if name in _NUMBERS:
            expected, fits = _NUMBERS[name]
            if not is_number(value) or not fits(value):
                raise ValueError(
                    f"`{name}` of `IVON` must be {expected}. Received: "
                    f"{name}={value!r}."
                )
        elif name in _OF_GRADIENTS and value is not None:
            raise ValueError(
                f"`{name}` of `IVON` must be None: its gradients are not "
                f"changed. Received: {name}={value!r}. Use "
                f"{_OF_GRADIENTS[name]}."
            )
    check_integer("mc_samples", arguments.get("mc_samples", 1))
    check_choice("estimator", arguments.get("estimator", "price"), ESTIMATORS)
    check_bool("rescale_lr", arguments.get("rescale_lr", True))
    if arguments.get("seed") is not None:
        check_integer("seed", arguments["seed"], least=0)


@keras.saving.register_keras_serializable(package="keras_superweights")
class IVON(keras.optimizers.Optimizer):
    """Improved variational online Newton (Shen et al., 2024).

    Learns a normal distribution of the weights: their mean `m`, which the
    network's weights are, and their variance `1 / (ess * (h + d))`, from an
    estimate `h` of the diagonal of the Hessian. Every step, with `n` the noise
    of a sample and means over samples and replicas:

        n = e / sqrt(ess * (h + d)),   e ~ N(0, 1)
        G = mean(gradient at m + n),   X = mean(n * gradient at m + n)
        g <- beta_1 * g + (1 - beta_1) * G
        f = ess * (h + d) * X                              ("price")
        f = ess * mean(gradient ** 2)                      ("gradsq")
        h <- h - r + r ** 2 / (2 * (h + d)),   r = (1 - beta_2) * (h - f)
        m <- m - rate * (hessian_init + d) *
                 clip((g / (1 - beta_1 ** t) + d * m) / (h + d), clip_radius)

    `h + d` stays positive whatever `f` is. A `SuperWeightNetwork` of any rule
    and kind draws the samples in its training step; metrics are those of the
    last one. A plain Keras model is trained as
    `SuperWeightNetwork(model, sharing=Independent())`, which shares nothing.
    All trained weights are sampled, templates and coefficients too; statistics
    of batch normalization are not. Predictions are those of the mean; see
    `sampled_weights` and `metrics.predict_samples` for those of samples.

    A sample's noise is a function of seed, step, sample and replica: a run
    that is resumed goes on as if it had not stopped (XLA makes other noise of
    the same seed). `g` and `h` are float32, or float64 for weights of float64.

    Args:
        learning_rate: float, or a schedule. Good rates are about those of SGD
            (0.2 for ResNet-20 on CIFAR-10), far from those of Adam.
        ess: Effective sample size: the number of training examples, not of
            batches, by which the loss is a mean. Smaller values temper the
            distribution: they make it wider.
        beta_1: Momentum of gradients. Defaults to 0.9.
        beta_2: Momentum of the Hessian, near 1: in short runs `h` hardly
            leaves `hessian_init`. Defaults to 0.99999.
        weight_decay: `d`, the precision of the weights' prior divided by
            `ess`. The only weight decay: the network's must be 0. Defaults to
            1e-4.
        hessian_init: `h` at the start, where noise has the standard deviation
            `1 / sqrt(ess * hessian_init)`: for few examples, or weights that
            do not train, a larger one. Defaults to 1.0.
        clip_radius: Bound of each scalar's step, before the learning rate.
            Defaults to infinity.
        mc_samples: Samples per step, each of which costs a forward and a
            backward pass. Defaults to 1.
        estimator: `"price"` or `"gradsq"`: how `f` estimates the Hessian.
            Defaults to `"price"`.
        rescale_lr: Whether the rate is multiplied by `hessian_init + d`, so
            that the first steps are those of SGD. Defaults to `True`.
        seed: Integer that determines all noise. Drawn by default.
        **kwargs: As for `keras.optimizers.Optimizer`, without clipping and
            accumulation of gradients.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If `ess` is missing, or an argument is out of its range. In
            training, if the gradients are not those of samples.

    Example:

    ```python
    network = ksw.SuperWeightNetwork(members, 0.5)
    network.compile(ksw.optimizers.IVON(0.2, ess=len(images)), loss)
    network.fit(images, labels, epochs=10)
    logits, labels = ksw.metrics.predict_samples(network, test, num_samples=32)
    ```

    References:
        - Shen et al., Variational Learning is Effective for Large Deep
          Networks (2024): https://arxiv.org/abs/2402.17641, algorithm 1
    """

    def __init__(
        self,
        learning_rate=0.1,
        ess=None,
        beta_1=0.9,
        beta_2=0.99999,
        weight_decay=1e-4,
        hessian_init=1.0,
        clip_radius=math.inf,
        mc_samples=1,
        estimator="price",
        rescale_lr=True,
        seed=None,
        name="ivon",
        **kwargs,
    ):
        check_arguments(
            ess=ess,
            beta_1=beta_1,
            beta_2=beta_2,
            weight_decay=weight_decay,
            hessian_init=hessian_init,
            clip_radius=clip_radius,
            mc_samples=mc_samples,
            estimator=estimator,
            rescale_lr=rescale_lr,
            seed=seed,
            **kwargs,
        )
        super().__init__(learning_rate, name=name, **kwargs)
        self.ess = ess
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.weight_decay = weight_decay
        self.hessian_init = hessian_init
        self.clip_radius = clip_radius
        self.mc_samples = mc_samples
        self.estimator = estimator
        self.rescale_lr = rescale_lr
        # Kept, so that a run continues with the noise that it began with.
        self.seed = random.randrange(2**31) if seed is None else seed

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self._momentums, self._hessians = [], []
        for variable in variables:
            for name, slots, start in (
                ("momentum", self._momentums, 0.0),
                ("hessian", self._hessians, self.hessian_init),
            ):
                slot = self.add_variable(
                    variable.shape,
                    keras.initializers.Constant(start),
                    # In half precision `h` would never move.
                    dtype=_at_least_float32(variable.dtype),
                    name=f"{variable.path.replace('/', '_')}_{name}",
                )
                slots.append(slot)

    def noise_seed(self, index):
        """Returns the seed of the noise of this step's sample `index`."""
        replica = tf.distribute.get_replica_context()
        seed = tf.stack([self.seed, tf.cast(self.iterations, tf.int64)])
        for data in (replica.replica_id_in_sync_group, index):
            seed = tf.random.fold_in(seed, data)
        return seed

    def sample(self, variables, seed):
        """Draws weights around the current ones, their mean.

        Args:
            variables: Variables that the optimizer was built with.
            seed: Two integers; equal ones draw equal noise.

        Returns:
            A list of tensors, one for each variable.
        """
        seeds = tf.unstack(tf.random.split(seed, len(variables)))
        samples = []
        for variable, own in zip(variables, seeds, strict=True):
            hessian = self._hessians[self._get_variable_index(variable)]
            noise = normal(variable.shape, own, hessian.dtype)
            noise *= ops.rsqrt(self.ess * (hessian + self.weight_decay))
            samples.append(variable + ops.cast(noise, variable.dtype))
        return samples

    def observe(self, variables, samples, gradients, loss_scale):
        """Returns what `apply_gradients` takes, from gradients at a sample.

        Args:
            variables: The weights, at their mean.
            samples: What `sample` returned for them.
            gradients: Of the scaled loss, at the sample; some may be `None`.
            loss_scale: Factor of the loss.

        Returns:
            For each gradient a tensor with one more axis in front, of two:
            itself, and its part in the Hessian. Like gradients, they may be
            averaged over samples, are summed over replicas and unscaled.
        """
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        observed = []
        for variable, sample, gradient in zip(
            variables, samples, gradients, strict=True
        ):
            if gradient is not None:
                dtype = _at_least_float32(variable.dtype)
                gradient = ops.cast(tf.convert_to_tensor(gradient), dtype)
                if self.estimator == "price":
                    # The noise that rounding has left in the sample.
                    factor = ops.cast(sample, dtype) - variable
                else:
                    factor = gradient * (replicas / loss_scale)
                gradient = ops.stack([gradient, factor * gradient])
            observed.append(gradient)
        return observed

    def update_step(self, gradient, variable, learning_rate):
        if tuple(gradient.shape) != (2, *variable.shape):
            raise ValueError(
                "`IVON` must be given gradients at sampled weights, which a "
                "`SuperWeightNetwork` computes in its training step. Received: "
                "gradients at the weights themselves. Train the model as "
                "`keras_superweights.SuperWeightNetwork(model, "
                "sharing=keras_superweights.sharing.Independent())`."
            )
        index = self._get_variable_index(variable)
        momentum, hessian = self._momentums[index], self._hessians[index]
        dtype, decay = hessian.dtype, self.weight_decay
        mean = ops.cast(variable, dtype)
        gradient, curvature = ops.unstack(ops.cast(gradient, dtype), axis=0)

        precision = hessian + decay
        curvature *= self.ess
        if self.estimator == "price":
            curvature *= precision
        excess = (1 - self.beta_2) * (hessian - curvature)
        self.assign_add(hessian, excess * (excess / (2 * precision) - 1))
        self.assign_add(momentum, (1 - self.beta_1) * (gradient - momentum))

        steps = ops.cast(self.iterations + 1, dtype)
        unbiased = momentum / (1 - ops.power(self.beta_1, steps))
        step = (unbiased + decay * mean) / (hessian + decay)
        if self.clip_radius < math.inf:
            step = ops.clip(step, -self.clip_radius, self.clip_radius)
        rate = ops.cast(learning_rate, dtype)
        if self.rescale_lr:
            rate *= self.hessian_init + decay
        self.assign_sub(variable, rate * step)

    def _apply_weight_decay(self, variables):
        """Leaves it to `update_step`: Keras' own would come on top."""

    def get_config(self):
        return super().get_config() | {
            "ess": self.ess,
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "weight_decay": self.weight_decay,
            "hessian_init": self.hessian_init,
            "clip_radius": self.clip_radius,
            "mc_samples": self.mc_samples,
            "estimator": self.estimator,
            "rescale_lr": self.rescale_lr,
            "seed": self.seed,
        }


def normal(shape, seed, dtype):
    """Draws a tensor of standard normal noise, by Box and Muller (1958).

    Written as operations on whole tensors: on CPUs in little more than half
    the time of `tf.random.stateless_normal`, which would be most of a step's.
    """
    size = math.prod(shape)
    uniform = tf.random.stateless_uniform(
        (2, -(-size // 2)), seed, dtype=dtype, alg="philox"
    )
    radius = ops.sqrt(-2.0 * ops.log(1.0 - uniform[0]))
    angle = 2.0 * math.pi * uniform[1]
    pairs = ops.concatenate([radius * ops.cos(angle), radius * ops.sin(angle)])
    return ops.reshape(pairs[:size], shape)


def _at_least_float32(dtype):
    return "float64" if dtype == "float64" else "float32"
