"""Telling examples of another distribution, and errors, by uncertainty."""

import numpy as np

from keras_superweights.metrics.inputs import checked_logits
from keras_superweights.metrics.inputs import checked_predictions
from keras_superweights.metrics.inputs import checked_scores
from keras_superweights.metrics.uncertainty import uncertainty


def ood_scores(member_logits):
    """Returns scores of each example, higher for less familiar ones.

        max_probability     1 - max_c p_c                            [1]
        entropy             H(p)
        energy              -mean_m logsumexp(logits_m)              [2]
        mutual_information  H(p) - mean_m H(p_m); 0 for one member

    Args:
        member_logits: One array-like `(num_examples, num_classes)` per member.
            `energy` needs logits, not log-probabilities, for which it is 0.

    Returns:
        A dict from the name of a score to an array `(num_examples,)`.

    Raises:
        ValueError: As `uncertainty`.

    References:
        - [1] Hendrycks and Gimpel, A Baseline for Detecting Misclassified and
          Out-of-Distribution Examples (ICLR 2017)
        - [2] Liu et al., Energy-based Out-of-distribution Detection (NeurIPS
          2020), equation 3: https://arxiv.org/abs/2010.03759
    """
    from scipy.special import logsumexp

    found = uncertainty(member_logits)
    logits = np.stack(list(map(checked_logits, member_logits)))
    return {
        "max_probability": 1.0 - found["confidence"],
        "entropy": found["entropy"],
        "energy": -logsumexp(logits, axis=-1).mean(axis=0),
        "mutual_information": found["mutual_information"],
    }


def ood_detection(familiar, unfamiliar):
    """Returns how well a score tells unfamiliar from familiar examples.

    Args:
        familiar: Array-like `(num_examples,)`: scores of examples of the data
            set, for example of `ood_scores`.
        unfamiliar: The same of examples of another one; higher if it works.

    Returns:
        A dict: `"auroc"`, the probability that an unfamiliar example has the
        higher score, ties counted half; and `"fpr95"`, the fraction of
        unfamiliar examples that are taken for familiar by the threshold which
        accepts 95 % of the familiar ones.

    Raises:
        ValueError: If there are no examples, or a score is not finite.

    Example:

    >>> ood_detection([0.1, 0.2, 0.3], [0.25, 0.9])
    {'auroc': 0.8333333333333334, 'fpr95': 0.5}

    References:
        - Liang et al., Enhancing The Reliability of Out-of-distribution Image
          Detection in Neural Networks (ICLR 2018), section 4.2
    """
    from sklearn.metrics import roc_auc_score

    familiar = checked_scores(familiar, "familiar")
    unfamiliar = checked_scores(unfamiliar, "unfamiliar")
    scores = np.concatenate([familiar, unfamiliar])
    is_unfamiliar = np.arange(len(scores)) >= len(familiar)
    # The lowest threshold with at least 95 % of the familiar ones at or below.
    accepted = int(np.ceil(0.95 * len(familiar))) - 1
    threshold = np.sort(familiar)[accepted]
    return {
        "auroc": float(roc_auc_score(is_unfamiliar, scores)),
        "fpr95": float(np.mean(unfamiliar <= threshold)),
    }


def risk_coverage(probabilities, labels, confidences=None):
    """Returns the error among the most confident examples, for every number.

    Args:
        probabilities: Array-like `(num_examples, num_classes)`.
        labels: Integer array-like `(num_examples,)`.
        confidences: Array-like `(num_examples,)` to sort by. Defaults to each
            example's largest probability.

    Returns:
        A dict of arrays `(num_examples,)`: `"coverage"`, the fractions `k / n`
        of examples that are answered, and `"risk"`, the error rate of the `k`
        most confident ones. Examples of equal confidence keep their order.

    Raises:
        TypeError, ValueError: As `accuracy`; if confidences do not have one
            finite number per example.

    Example:

    >>> rows = [[0.9, 0.1], [0.6, 0.4], [0.8, 0.2]]
    >>> [float(risk) for risk in risk_coverage(rows, [0, 1, 0])["risk"]]
    [0.0, 0.0, 0.3333333333333333]

    References:
        - Geifman et al., Bias-Reduced Uncertainty Estimation for Deep Neural
          Classifiers (ICLR 2019), section 2: https://arxiv.org/abs/1805.08206
    """
    probabilities, labels = checked_predictions(probabilities, labels)
    if confidences is None:
        confidences = probabilities.max(axis=1)
    confidences = checked_scores(confidences, "confidences", len(labels))
    order = np.argsort(-confidences, kind="stable")
    errors = (probabilities.argmax(axis=1) != labels)[order]
    answered = np.arange(1, len(labels) + 1)
    return {
        "coverage": answered / len(labels),
        "risk": np.cumsum(errors) / answered,
    }


def aurc(probabilities, labels, confidences=None):
    """Returns the area under the risk-coverage curve: the mean of its risks.

    Less is better; a network that knows its errors has little more than one
    that has fewer of them. Takes the arguments of `risk_coverage`.

    Example:

    >>> rows = [[0.9, 0.1], [0.6, 0.4], [0.8, 0.2]]
    >>> round(aurc(rows, [0, 1, 0]), 4)
    0.1111
    """
    curve = risk_coverage(probabilities, labels, confidences)
    return float(curve["risk"].mean())
