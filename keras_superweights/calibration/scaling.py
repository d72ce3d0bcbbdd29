"""Scaled logits of classes."""

import math

import keras
import numpy as np
from keras import ops

from keras_superweights.arguments import is_number
from keras_superweights.metrics.inputs import checked_labels
from keras_superweights.metrics.inputs import checked_logits

# A network that is right on all held-out examples has no best temperature.
LEAST_TEMPERATURE, MOST_TEMPERATURE = 1e-2, 1e3


class Calibration:
    """Base class of what can be `network.calibration`.

    A subclass is registered with `keras.saving.register_keras_serializable`,
    and called with what the network answers, as Keras tensors, in evaluation
    and prediction; members are trained as without it.
    """

    def __call__(self, answer):
        """Returns the calibrated answer, by `keras.ops`, of the same shape."""
        raise NotImplementedError

    def check(self, shape):
        """Refuses the shape of a network's answers, without the batch."""

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def __repr__(self):
        values = ", ".join(f"{k}={v!r}" for k, v in self.get_config().items())
        return f"{type(self).__name__}({values})"


@keras.saving.register_keras_serializable(package="keras_superweights")
class TemperatureScaling(Calibration):
    """Divides logits by one number, which leaves the likeliest class as it is.

    Answers log-probabilities `log_softmax(logits / temperature)`. For an
    ensemble the logits are the logarithms of the members' mean probabilities:
    members are pooled first and scaled then [2].

    Args:
        temperature: Positive number; above 1 the network is less confident.

    Raises:
        ValueError: If the temperature is not positive and finite.

    Example:

    ```python
    held_out = network.predict(images)
    network.calibration = ksw.calibration.TemperatureScaling.fit(
        held_out, labels
    )
    ```

    References:
        - [1] Guo et al., On Calibration of Modern Neural Networks (ICML 2017),
          section 4.2: https://arxiv.org/abs/1706.04599
        - [2] Rahaman and Thiery, Uncertainty Quantification and Deep Ensembles
          (NeurIPS 2021): https://arxiv.org/abs/2007.08792
    """

    def __init__(self, temperature):
        if not is_number(temperature) or not 0 < temperature < math.inf:
            raise ValueError(
                "`temperature` must be a positive, finite number. Received: "
                f"temperature={temperature!r}."
            )
        self.temperature = float(temperature)

    @classmethod
    def fit(cls, logits, labels):
        """Returns the scaling with the lowest NLL on held-out examples.

        The NLL is convex in the inverse of the temperature, so there is one
        minimum; it is found between 0.01 and 1,000.

        Args:
            logits: Array-like `(num_examples, num_classes)`: logits or
                log-probabilities, what `network.predict` returns.
            labels: Integer array-like `(num_examples,)`.

        Raises:
            TypeError: If the labels are not integers.
            ValueError: If the shapes do not agree or a logit is not finite.
        """
        from scipy.optimize import brentq
        from scipy.special import softmax

        logits = checked_logits(logits)
        labels = checked_labels(labels, *logits.shape)
        of_labels = logits[np.arange(len(labels)), labels]

        def slope(log_temperature):
            """Returns the derivative of the NLL by the inverse temperature."""
            probabilities = softmax(logits / math.exp(log_temperature), axis=1)
            return np.mean((probabilities * logits).sum(axis=1) - of_labels)

        ends = math.log(LEAST_TEMPERATURE), math.log(MOST_TEMPERATURE)
        coldest, hottest = map(slope, ends)
        if coldest <= 0:  # however sure, it is right
            return cls(LEAST_TEMPERATURE)
        if hottest >= 0:  # worse than chance
            return cls(MOST_TEMPERATURE)
        return cls(math.exp(brentq(slope, *ends, xtol=1e-10)))

    def __call__(self, answer):
        return ops.log_softmax(answer / self.temperature, axis=-1)

    def get_config(self):
        return {"temperature": self.temperature}


@keras.saving.register_keras_serializable(package="keras_superweights")
class VectorScaling(Calibration):
    """Scales and shifts the logits of each class by numbers of its own.

    Answers log-probabilities `log_softmax(scales * logits + biases)`. It has
    twice as many numbers as there are classes, and can change which class is
    the likeliest.

    Args:
        scales, biases: Sequences of one finite number per class.

    Raises:
        ValueError: If they are not such sequences of one length.

    References:
        - Guo et al., On Calibration of Modern Neural Networks (ICML 2017),
          section 4.2: https://arxiv.org/abs/1706.04599
    """

    def __init__(self, scales, biases):
        self.scales, self.biases = checked_line(
            "scales", "class", scales, biases
        )

    @classmethod
    def fit(cls, logits, labels):
        """Returns the scaling with the lowest NLL on held-out examples.

        Takes the arguments of `TemperatureScaling.fit`, from which it begins,
        and raises its errors. The NLL is convex.
        """
        from scipy.optimize import minimize
        from scipy.special import logsumexp
        from scipy.special import softmax

        start = TemperatureScaling.fit(logits, labels).temperature
        logits = checked_logits(logits)
        num_examples, num_classes = logits.shape
        one_hot = np.eye(num_classes)[np.asarray(labels)]

        def loss(values):
            scales, biases = np.split(values, 2)
            scaled = scales * logits + biases
            sums = logsumexp(scaled, axis=1)
            nll = np.mean(sums - (scaled * one_hot).sum(axis=1))
            gaps = (softmax(scaled, axis=1) - one_hot) / num_examples
            slopes = (gaps * logits).sum(axis=0), gaps.sum(axis=0)
            return nll, np.concatenate(slopes)

        begin = np.repeat([1 / start, 0.0], num_classes)
        found = minimize(loss, begin, jac=True, method="L-BFGS-B").x
        return cls(*np.split(found, 2))

    def check(self, shape):
        check_last_axis(len(self.scales), "classes", shape)

    def __call__(self, answer):
        scaled = on_line(answer, self.scales, self.biases)
        return ops.log_softmax(scaled, axis=-1)

    def get_config(self):
        return {"scales": self.scales, "biases": self.biases}


def checked_line(name, of, factors, biases):
    """Returns factors, called `name`, and biases as lists of numbers.

    Refuses others than one finite number of each per class or label, `of`.
    """
    factors, biases = ([float(e) for e in each] for each in (factors, biases))
    values = np.array([*factors, *biases])
    if len(factors) != len(biases) or not (
        len(values) and np.isfinite(values).all()
    ):
        raise ValueError(
            f"`{name}` and `biases` must hold one finite number per {of}. "
            f"Received: {len(factors)} {name} and {len(biases)} biases."
        )
    return factors, biases


def check_last_axis(count, of, shape):
    """Refuses answers that a scaling of so many classes or labels misreads."""
    if shape[-1] != count:
        raise ValueError(
            "`calibration` must be fitted to answers of the network: it has "
            f"{count} {of}. Received: answers of shape {(None, *shape)}."
        )


def on_line(answer, factors, biases):
    """Returns `factors * answer + biases`, by `keras.ops`."""
    factors = ops.cast(factors, answer.dtype)
    return answer * factors + ops.cast(biases, answer.dtype)
