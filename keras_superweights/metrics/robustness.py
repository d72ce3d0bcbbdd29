"""Accuracy, NLL and ECE on corrupted images."""

import numpy as np

from keras_superweights.arguments import check_type
from keras_superweights.datasets.corruptions import CORRUPTIONS
from keras_superweights.datasets.corruptions import SEVERITIES
from keras_superweights.datasets.corruptions import corrupted_test
from keras_superweights.metrics.ensembles import ensemble_probabilities
from keras_superweights.metrics.evaluation import evaluate_probabilities
from keras_superweights.metrics.predictions import member_predictor


def evaluate_corrupted(
    network, pipeline, corruptions=CORRUPTIONS, severities=SEVERITIES
):
    """Measures a network on corrupted copies of a test split ("-C").

    An ensemble and each of its members are measured in the same pass.

    Args:
        network: A `SuperWeightNetwork` or another `keras.Model` that returns
            logits or log-probabilities `(batch, classes)`.
        pipeline: The `ImagePipeline` of the training; its test split is
            corrupted.
        corruptions: Names of corruptions for `corrupted_test`. Defaults to all
            that need no download.
        severities: Integers from 1 to 5. Defaults to all.

    Returns:
        A dict of plain Python values, ready for `json.dump`: `"accuracy"`,
        `"nll"` (nats), `"brier"` and `"ece"` (15 bins), each the mean over all
        corruptions and severities, and `"corruptions"`, a list of
        `{"corruption", "severity", "source"}` with the same four. `"source"`
        is the name of the tfds set, or `"generated"`. For an ensemble, the
        report and each row also have `"members"`, a list of such four.

    Raises:
        ValueError: If a corruption or severity is unknown, or there are none.

    Example:

    ```python
    report = ksw.metrics.evaluate_corrupted(network, pipeline)
    print(f"{report['accuracy']:.1%} on corrupted images")
    ```

    References:
        - Hendrycks & Dietterich, Benchmarking Neural Network Robustness to
          Common Corruptions and Perturbations (ICLR 2019):
          https://arxiv.org/abs/1903.12261
        - SWN, supplement, section 3.3 and table 1
    """
    for argument, values in (
        ("corruptions", corruptions),
        ("severities", severities),
    ):
        is_list = isinstance(values, (list, tuple, range))
        check_type(argument, values, is_list, "a list")
    # Open all sets first: a wrong name should fail before hours of work.
    sets = [
        (corruption, severity, *corrupted_test(pipeline, corruption, severity))
        for corruption in corruptions
        for severity in severities
    ]
    if not sets:
        raise ValueError(
            "`corruptions` and `severities` must not be empty. "
            f"Received: corruptions={corruptions}, severities={severities}."
        )
    predict = member_predictor(network)
    rows = [
        {
            "corruption": corruption,
            "severity": int(severity),
            "source": source,
            **_evaluate(*predict(batches)),
        }
        for corruption, severity, batches, source in sets
    ]
    return {**_means(rows), "corruptions": rows}


def _evaluate(logits, labels):
    # The softmax of log-probabilities is the probabilities again.
    measured = evaluate_probabilities(ensemble_probabilities(logits), labels)
    if len(logits) > 1:
        measured["members"] = [
            evaluate_probabilities(ensemble_probabilities([each]), labels)
            for each in logits
        ]
    return measured


def _means(rows):
    """Averages every metric over the rows, also for each member."""
    means = {
        metric: float(np.mean([row[metric] for row in rows]))
        for metric in ("accuracy", "nll", "brier", "ece")
    }
    if "members" in rows[0]:
        of_members = zip(*(row["members"] for row in rows), strict=True)
        means["members"] = list(map(_means, of_members))
    return means
