"""The metric `Diversity` against the library's NumPy function."""

import keras
import numpy as np
import pytest

from keras_superweights import metrics as numpy_metrics
from keras_superweights.ensembles import Diversity
from tests.ensembles.cases import softmax


def random_batches(draw):
    """Draws batches of `(labels, logits of each member)`."""
    members, classes = draw.integers(2, 5), draw.integers(2, 4)
    return [
        (
            draw.integers(0, classes, size),
            draw.normal(size=(members, size, classes)),
        )
        for size in draw.integers(1, 7, draw.integers(1, 4))
    ]


LABELS = {
    "integer": lambda labels, classes: labels,
    "column": lambda labels, classes: labels[:, None].astype("uint8"),
    "one_hot": lambda labels, classes: np.eye(classes, dtype="f4")[labels],
    "smoothed": lambda labels, classes: 0.9 * np.eye(classes)[labels] + 0.05,
}


@pytest.mark.parametrize("labels_as", LABELS)
def test_diversity_in_batches_is_the_diversity_of_the_whole(labels_as):
    defined = 0
    for seed in range(30):
        batches = random_batches(np.random.default_rng(seed))
        labels = np.concatenate([y for y, _ in batches])
        logits = np.concatenate([each for _, each in batches], axis=1)
        probabilities = [softmax(each) for each in logits]
        expected = numpy_metrics.diversity(probabilities, labels)
        metric = Diversity(len(logits))
        for y, outputs in batches:
            y = LABELS[labels_as](y, logits.shape[-1])
            metric.update_state(y, list(outputs))
        found = float(metric.result())
        if expected is None:
            assert np.isnan(found)
        else:
            defined += 1
            assert found == pytest.approx(expected, rel=1e-5)
    assert defined > 20


def test_a_member_without_errors_is_left_out():
    y = np.array([0, 1, 2, 2])
    right = np.eye(3)[y]
    wrong = np.eye(3)[[0, 1, 2, 0]]
    metric = Diversity(3)
    metric.update_state(y, [right, wrong, wrong])
    # Of the six ordered pairs, four are divided by an error rate of 1/4:
    # (right, wrong) twice, and (wrong, wrong), who agree, twice.
    assert float(metric.result()) == pytest.approx((1 + 1 + 0 + 0) / 4)
    metric.reset_state()
    metric.update_state(y, [right, right, right])
    assert np.isnan(float(metric.result()))


def test_diversity_is_a_metric_like_any_other():
    metric = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(Diversity(3, name="apart"))
    )
    assert (metric.name, metric.num_members) == ("apart", 3)
    with pytest.raises(ValueError, match="at least 2.*num_members=1"):
        Diversity(1)


def test_every_pixel_is_an_example():
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 3, (4, 2, 5))
    outputs = draw.normal(size=(3, 4, 2, 5, 3))
    expected = numpy_metrics.diversity(
        softmax(outputs).reshape(3, -1, 3), labels.ravel()
    )
    one_hot = np.eye(3)[labels]
    for given in (labels, labels[..., None], one_hot):
        metric = Diversity(3)
        metric.update_state(given, list(outputs))
        assert float(metric.result()) == pytest.approx(expected, rel=1e-5)


def test_masked_tokens_and_labels_of_no_class_do_not_count():
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 3, (4, 5))
    outputs = draw.normal(size=(2, 4, 5, 3)).astype("float32")
    mask = draw.integers(0, 2, (4, 5)).astype(bool)
    expected = numpy_metrics.diversity(softmax(outputs[:, mask]), labels[mask])
    ignored = Diversity(2)
    ignored.update_state(np.where(mask, labels, -1), list(outputs))
    tensors = [keras.ops.convert_to_tensor(each) for each in outputs]
    tensors[1]._keras_mask = keras.ops.convert_to_tensor(mask)
    masked = Diversity(2)
    masked.update_state(labels, tensors)
    for metric in (ignored, masked):
        assert float(metric.result()) == pytest.approx(expected, rel=1e-5)
