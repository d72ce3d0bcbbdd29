"""Sizes, labels and arguments of a pipeline."""

import dataclasses

import numpy as np
import pytest

from tests.datasets.sets import AUGMENTED
from tests.datasets.sets import collect
from tests.datasets.sets import tiny_examples
from tests.datasets.sets import to_pixels


def test_test_split_comes_in_order_and_whole(make_pipeline):
    pipeline = make_pipeline(**AUGMENTED)
    images, labels = collect(pipeline.test())
    assert (images.dtype, labels.dtype) == (np.float32, np.int64)
    found = to_pixels(images, pipeline), labels
    np.testing.assert_equal(found, tiny_examples("test"))
    assert [len(x) for x, _ in pipeline.test()] == [8, 2]


def test_sizes_are_those_of_the_set(make_pipeline):
    pipeline = make_pipeline(train_split="train[:21]", test_split="train[21:]")
    assert (pipeline.num_train, pipeline.num_test) == (21, 19)
    assert pipeline.steps_per_epoch == 2
    assert pipeline.num_classes == 4
    assert pipeline.image_shape == (6, 5, 3)
    assert len(pipeline.train(3)) == 6
    assert pipeline.train(1).element_spec[0].shape == (8, 6, 5, 3)


def test_label_smoothing_is_for_training_only(make_pipeline):
    plain = make_pipeline()
    smooth = dataclasses.replace(plain, label_smoothing=0.2)
    for expected, labels, rest in (
        (collect(plain.train(1))[1], collect(smooth.train(1))[1], 0.05),
        (collect(plain.test())[1], collect(smooth.test())[1], 0.0),
    ):
        assert labels.dtype == np.float32
        one_hot = np.eye(4)[expected]
        np.testing.assert_allclose(
            labels, np.where(one_hot, 1 - 3 * rest, rest), atol=1e-6
        )


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "`batch_size` must be .*from 1 to 40"),
        ({"batch_size": 41}, ValueError, "from 1 to 40.*batch_size=41"),
        ({"batch_size": 8.0}, TypeError, "`batch_size` must be of type int"),
        ({"batch_size": True}, TypeError, "`batch_size` must be of type int"),
        ({"seed": -1}, ValueError, "`seed` must be .* from 0"),
        ({"seed": 2**63}, ValueError, "`seed` must be"),
        ({"pad": -1}, ValueError, "`pad` must be .* from 0"),
        ({"pad": 6}, ValueError, "`pad` must be .* to 5"),
        ({"cutout": -2}, ValueError, "`cutout` must be .* from 0"),
        ({"cutout": 6}, ValueError, "`cutout` must be .* to 5"),
        ({"flip": 1}, TypeError, "`flip` must be of type bool"),
        ({"label_smoothing": 1.0}, ValueError, "below 1.*label_smoothing=1"),
        ({"label_smoothing": -0.1}, ValueError, "`label_smoothing` must be"),
        ({"label_smoothing": "0.1"}, TypeError, "must be of type float"),
        ({"validation_fraction": 1.0}, ValueError, "_fraction` .* below 1"),
        ({"validation_fraction": -0.1}, ValueError, "`validation_fraction`"),
        ({"validation_fraction": None}, TypeError, "must be of type float"),
        ({"validation_fraction": 0.01}, ValueError, "one for validation.* 40"),
        ({"validation_fraction": 0.99}, ValueError, "for training.*0.99"),
        ({"validation_fraction": 0.5, "batch_size": 21}, ValueError, "20.*21"),
        ({"name": 3}, TypeError, "`name` must be of type str"),
        ({"name": "two words"}, ValueError, "two words"),
        ({"name": "tiny_photos"}, ValueError, "`size` must be.*tiny_photos"),
        ({"size": 0}, ValueError, "`size` must be a positive integer"),
        ({"size": 8.0}, TypeError, "`size` must be of type int"),
        ({"size": 4, "cutout": 5}, ValueError, "`cutout` must be .* to 4"),
        ({"crop": "random"}, ValueError, "`crop` must be 'inception' or None"),
        ({"label": "coarse"}, ValueError, "`label` a feature.*'coarse'"),
        ({"label": "id"}, ValueError, "`label` a feature that is a class"),
        ({"label": None}, TypeError, "`label` must be of type str"),
        ({"mixup": -0.1}, ValueError, "`mixup` must be .* at least 0"),
        ({"mixup": float("inf")}, ValueError, "`mixup` must be .*finite"),
        ({"cutmix": float("nan")}, ValueError, "`cutmix` must be"),
        ({"cutmix": True}, TypeError, "`cutmix` must be of type float"),
        ({"mixup": 1.0, "batch_size": 1}, ValueError, "least 2 for `mixup`"),
        ({"train_split": "validation"}, ValueError, "`train_split` .*train"),
        ({"train_split": "train[:99]"}, ValueError, "'train': 40"),
        ({"test_split": "test[:"}, ValueError, "`test_split` must be one"),
        ({"test_split": "test[3:3]"}, ValueError, "at least one example"),
        ({"test_split": None}, TypeError, "`test_split` must be of type str"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused_at_once(
    make_pipeline, options, error, message
):
    with pytest.raises(error, match=message):
        make_pipeline(**options)


@pytest.mark.parametrize(
    ("epochs", "first_epoch", "message"),
    [(-1, 0, "`epochs` must"), (3, 4, "from 0 to 3"), (3, -1, "`first_epoch`")],
)
def test_epochs_must_run_forwards(make_pipeline, epochs, first_epoch, message):
    with pytest.raises(ValueError, match=message):
        make_pipeline().train(epochs, first_epoch)
