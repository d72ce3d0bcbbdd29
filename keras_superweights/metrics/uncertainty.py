"""How sure an ensemble is, example by example."""

import numpy as np

from keras_superweights.metrics.ensembles import member_softmaxes
from keras_superweights.metrics.inputs import checked_gaussians


def uncertainty(member_logits):
    """Returns what members say together of each example, and how they differ.

    With the members' softmax probabilities `p_m`, their mean `p`, and the
    entropy `H`, in nats,

        entropy             H(p)                             all uncertainty
        expected_entropy    mean_m H(p_m)                    of the data
        mutual_information  H(p) - mean_m H(p_m)             of the model
        variation_ratio     1 - max_c (fraction of members whose most likely
                            class is c)

    Args:
        member_logits: One array-like `(num_examples, num_classes)` per member,
            as `network.predict_members` returns them.

    Returns:
        A dict of arrays: `"probabilities"` and `"standard_deviation"` (over
        members), of shape `(num_examples, num_classes)`; and the four above
        and `"confidence"`, the largest probability, of `(num_examples,)`.

    Raises:
        ValueError: If there are no members, the shapes differ, or a logit is
            not finite.

    Example:

    >>> sure = [[0.0, 100.0]]
    >>> other = [[100.0, 0.0]]
    >>> found = uncertainty([sure, other])
    >>> round(float(found["expected_entropy"][0]), 4)
    0.0
    >>> round(float(found["mutual_information"][0]), 4)  # log(2)
    0.6931

    References:
        - Depeweg et al., Decomposition of Uncertainty in Bayesian Deep
          Learning (ICML 2018), section 3: https://arxiv.org/abs/1710.07283
        - Gal, Uncertainty in Deep Learning (2016), section 3.3.1
    """
    members = np.stack(member_softmaxes(member_logits))
    probabilities = members.mean(axis=0)
    total = _entropy(probabilities)
    expected = _entropy(members).mean(axis=0)
    num_classes = probabilities.shape[-1]
    votes = np.eye(num_classes)[members.argmax(axis=-1)].mean(axis=0)
    return {
        "probabilities": probabilities,
        "standard_deviation": members.std(axis=0),
        "confidence": probabilities.max(axis=-1),
        "entropy": total,
        "expected_entropy": expected,
        # Rounding may make it smaller than 0.
        "mutual_information": np.maximum(total - expected, 0.0),
        "variation_ratio": 1.0 - votes.max(axis=-1),
    }


def mixture_moments(means, variances):
    """Returns mean and variance of a mixture of normal distributions.

    One distribution per member, equally weighted, as `Regression` answers it:

        mean       mean_m mu_m
        aleatoric  mean_m v_m, the noise that members expect
        epistemic  mean_m (mu_m - mean)^2, how much they differ
        variance   aleatoric + epistemic

    Args:
        means: Array-like `(num_members, ...)`.
        variances: Array-like of the same shape, not negative.

    Returns:
        A dict of these four arrays, without the first axis.

    Raises:
        ValueError: If the shapes differ, there are no members, a number is not
            finite or a variance is negative.

    Example:

    >>> found = mixture_moments([[0.0], [2.0]], [[1.0], [3.0]])
    >>> {name: float(value[0]) for name, value in found.items()}
    {'mean': 1.0, 'aleatoric': 2.0, 'epistemic': 1.0, 'variance': 3.0}

    References:
        - Lakshminarayanan et al., Simple and Scalable Predictive Uncertainty
          Estimation using Deep Ensembles (2017), section 2.4
    """
    means, variances = checked_gaussians(means, variances)
    noise, spread = variances.mean(axis=0), means.var(axis=0)
    return {
        "mean": means.mean(axis=0),
        "aleatoric": noise,
        "epistemic": spread,
        "variance": noise + spread,
    }


def mixture_quantiles(means, variances, quantiles):
    """Returns quantiles of a mixture of normal distributions.

    Args:
        means, variances: As for `mixture_moments`; variances are positive.
        quantiles: Number, or array-like `(num_quantiles,)`, between 0 and 1.

    Returns:
        An array of the shape of one member's means, with the quantiles on an
        axis before it if there are several. Exact to 1e-9 of the distance
        between the lowest and highest quantile of any member.

    Raises:
        ValueError: As `mixture_moments`; if a variance is 0, or a quantile is
            not between 0 and 1.

    Example:

    >>> median = mixture_quantiles([[0.0], [4.0]], [[1.0], [1.0]], 0.5)
    >>> round(float(median[0]), 6)
    2.0
    """
    from scipy.special import ndtr
    from scipy.special import ndtri

    means, variances = checked_gaussians(means, variances, positive=True)
    asked = np.asarray(quantiles, dtype=np.float64)
    if asked.ndim > 1 or not ((asked > 0) & (asked < 1)).all():
        raise ValueError(
            "`quantiles` must be a number or a list of numbers between 0 and "
            f"1. Received: quantiles={quantiles!r}."
        )
    deviations = np.sqrt(variances)
    found = []
    for quantile in np.atleast_1d(asked):
        # The mixture's lies between the members' own.
        own = means + deviations * ndtri(quantile)
        low, high = own.min(axis=0), own.max(axis=0)
        for _ in range(31):  # 2 ** -31 of the distance is left
            middle = (low + high) / 2
            below = ndtr((middle - means) / deviations).mean(axis=0) < quantile
            low, high = (
                np.where(below, middle, low),
                np.where(below, high, middle),
            )
        found.append((low + high) / 2)
    return np.stack(found) if asked.ndim else found[0]


def _entropy(probabilities):
    logs = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
    return -np.sum(probabilities * logs, axis=-1)
