"""Batches are the set's, in an order and with draws that can be repeated."""

import dataclasses
import itertools

import keras
import numpy as np
import pytest

AUGMENTED = {"pad": 1, "flip": True, "cutout": 2}


def _collect(dataset):
    """All images and all labels of a dataset of batches."""
    images, labels = zip(*dataset.as_numpy_iterator(), strict=True)
    return np.concatenate(images), np.concatenate(labels)


def _pixels(images, pipeline):
    """Undoes the normalisation."""
    images = images * np.array(pipeline.deviation) + np.array(pipeline.mean)
    return np.rint(images * 255).astype(int)


def test_test_split_comes_in_order_and_whole(make_pipeline, tiny_split):
    pipeline = make_pipeline(**AUGMENTED)
    images, labels = _collect(pipeline.test())
    expected_images, expected_labels = tiny_split("test")
    assert images.dtype == np.float32
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(_pixels(images, pipeline), expected_images)
    np.testing.assert_array_equal(labels, expected_labels)
    assert [len(x) for x, _ in pipeline.test()] == [8, 2]


def test_sizes_are_those_of_the_set(make_pipeline):
    pipeline = make_pipeline(train_split="train[:21]", test_split="train[21:]")
    assert pipeline.num_train == 21
    assert pipeline.num_test == 19
    assert pipeline.steps_per_epoch == 2
    assert pipeline.num_classes == 4
    assert pipeline.image_shape == (6, 5, 3)
    assert len(pipeline.train(3)) == 6
    assert pipeline.train(1).element_spec[0].shape == (8, 6, 5, 3)


@pytest.mark.parametrize("seed", range(3))
def test_each_epoch_is_a_permutation_of_the_split(
    make_pipeline, tiny_split, seed
):
    pipeline = make_pipeline(seed=seed)
    images, labels = _collect(pipeline.train(2))
    rows = np.column_stack([_pixels(images, pipeline).reshape(80, -1), labels])
    tiny_images, tiny_labels = tiny_split("train")
    expected = np.column_stack([tiny_images.reshape(40, -1), tiny_labels])
    for epoch in (rows[:40], rows[40:]):
        assert not np.array_equal(epoch, expected)
        np.testing.assert_array_equal(
            epoch[np.lexsort(epoch.T)], expected[np.lexsort(expected.T)]
        )
    assert not np.array_equal(rows[:40], rows[40:])


def _all_outcomes(image, pipeline):
    """Every result of the augmentation of one image, written in NumPy."""
    height, width, _ = image.shape
    pad, size = pipeline.pad, pipeline.cutout
    padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)))
    mean, deviation = np.array(pipeline.mean), np.array(pipeline.deviation)
    for top, left in np.ndindex(2 * pad + 1, 2 * pad + 1):
        crop = padded[top : top + height, left : left + width]
        for oriented in (crop, crop[:, ::-1]):
            normalised = (oriented / 255 - mean) / deviation
            for row, column in np.ndindex(height, width):
                outcome = normalised.copy()
                above, before = row - size // 2, column - size // 2
                outcome[
                    max(above, 0) : above + size, max(before, 0) : before + size
                ] = 0
                yield np.rint(outcome * 1000).astype(int).tobytes()


def test_training_images_are_crops_flips_and_cutouts(make_pipeline, tiny_split):
    pipeline = make_pipeline(**AUGMENTED)
    images, labels = _collect(pipeline.train(2))
    images = [np.rint(x * 1000.0).astype(int).tobytes() for x in images]
    tiny_images, tiny_labels = tiny_split("train")
    sources = {}
    for example, image in enumerate(tiny_images):
        for outcome in _all_outcomes(image, pipeline):
            sources[outcome] = example
    found = [sources[image] for image in images]
    np.testing.assert_array_equal(tiny_labels[found], labels)
    assert sorted(found[:40]) == sorted(found[40:]) == list(range(40))
    # Chance alone leaves few examples alike in both epochs (1 in 540).
    first, second = (
        {found[i]: images[i] for i in epoch}
        for epoch in (range(40), range(40, 80))
    )
    same = [first[example] == second[example] for example in range(40)]
    assert sum(same) < 4


def test_half_of_the_images_are_flipped(make_pipeline, tiny_split):
    pipeline = make_pipeline(flip=True)
    images, _ = _collect(pipeline.train(10))
    images = [image.tobytes() for image in _pixels(images, pipeline)]
    tiny_images = tiny_split("train")[0].astype(int)
    mirrored = {image[:, ::-1].tobytes() for image in tiny_images}
    originals = {image.tobytes() for image in tiny_images}
    assert set(images) <= mirrored | originals
    # 400 fair coins: 5 standard deviations are 50.
    assert abs(sum(image in mirrored for image in images) - 200) < 50


@pytest.mark.parametrize("first_epoch", [0, 1, 3, 4])
def test_a_resumed_run_sees_the_rest_of_the_batches(make_pipeline, first_epoch):
    # 40 examples in batches of 6: four are left over in every epoch.
    pipeline = make_pipeline(batch_size=6, seed=5, **AUGMENTED)
    whole = list(pipeline.train(4).as_numpy_iterator())
    rest = pipeline.train(4, first_epoch=first_epoch)
    rest = list(rest.as_numpy_iterator())
    assert len(rest) == (4 - first_epoch) * pipeline.steps_per_epoch
    for expected, actual in zip(whole[first_epoch * 6 :], rest, strict=True):
        np.testing.assert_array_equal(actual[0], expected[0])
        np.testing.assert_array_equal(actual[1], expected[1])


def test_fit_resumes_to_the_same_weights(make_pipeline):
    pipeline = make_pipeline(**AUGMENTED)

    def train(stops):
        keras.utils.set_random_seed(1)
        model = keras.Sequential(
            [
                keras.Input(pipeline.image_shape),
                keras.layers.Flatten(),
                keras.layers.Dense(pipeline.num_classes),
            ]
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("sgd", loss)
        for first_epoch, epochs in itertools.pairwise([0, *stops]):
            model.fit(
                pipeline.train(epochs, first_epoch),
                steps_per_epoch=pipeline.steps_per_epoch,
                epochs=epochs,
                initial_epoch=first_epoch,
                shuffle=False,
                validation_data=pipeline.test(),
                verbose=0,
            )
        return model.get_weights()

    for whole, resumed in zip(train([3]), train([1, 3]), strict=True):
        np.testing.assert_allclose(whole, resumed, rtol=1e-6)


def test_a_seed_repeats_itself_and_only_itself(make_pipeline):
    first, _ = _collect(make_pipeline(seed=1, **AUGMENTED).train(1))
    again, _ = _collect(make_pipeline(seed=1, **AUGMENTED).train(1))
    other, _ = _collect(make_pipeline(seed=2, **AUGMENTED).train(1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_batch_size_changes_no_example(make_pipeline):
    small, _ = _collect(make_pipeline(batch_size=4, **AUGMENTED).train(2))
    large, _ = _collect(make_pipeline(batch_size=20, **AUGMENTED).train(2))
    np.testing.assert_array_equal(small, large)


def test_other_examples_are_left_over_in_every_epoch(make_pipeline):
    pipeline = make_pipeline(batch_size=30)
    images, _ = _collect(pipeline.train(2))
    first, second = images.reshape(2, 30, -1)
    assert {row.tobytes() for row in first} != {row.tobytes() for row in second}


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5])
def test_a_validation_part_is_the_same_for_every_seed(
    make_pipeline, tiny_split, fraction
):
    held_out = []
    for seed in (0, 1):
        pipeline = make_pipeline(
            validation_fraction=fraction, seed=seed, batch_size=5, **AUGMENTED
        )
        images, labels = _collect(pipeline.validation())
        assert len(images) == pipeline.num_validation == 40 * fraction
        held_out.append(_pixels(images, pipeline))
    np.testing.assert_array_equal(*held_out)
    # Whole images of the split with their labels, in its order.
    tiny_images, tiny_labels = tiny_split("train")
    places = [
        int(np.flatnonzero((tiny_images == image).all((1, 2, 3))).item())
        for image in held_out[0]
    ]
    assert places == sorted(set(places))
    np.testing.assert_array_equal(tiny_labels[places], labels)
    # Not one end of it: the order of a set may be that of its classes.
    assert places[-1] - places[0] >= len(places) + 5


def test_what_is_held_out_is_not_trained_on(make_pipeline, tiny_split):
    pipeline = make_pipeline(validation_fraction=0.4, batch_size=6)
    assert (pipeline.num_train, pipeline.steps_per_epoch) == (24, 4)
    trained = _pixels(_collect(pipeline.train(1))[0], pipeline)
    held_out = _pixels(_collect(pipeline.validation())[0], pipeline)
    together = {image.tobytes() for image in (*trained, *held_out)}
    assert together == {x.astype(int).tobytes() for x in tiny_split("train")[0]}
    # Nor normalised by.
    np.testing.assert_allclose(
        pipeline.mean, trained.mean((0, 1, 2)) / 255, rtol=1e-6
    )


def test_a_run_is_measured_on_what_is_held_out(make_pipeline):
    pipeline = make_pipeline(test_split="test[2:]")
    batches, name = pipeline.measured()
    assert name == "test[2:]"
    np.testing.assert_array_equal(
        _collect(batches)[0], _collect(pipeline.test())[0]
    )
    pipeline = make_pipeline(validation_fraction=0.3)
    batches, name = pipeline.measured()
    assert name == "validation"
    np.testing.assert_array_equal(
        _collect(batches)[0], _collect(pipeline.validation())[0]
    )


def test_without_a_fraction_nothing_is_held_out(make_pipeline):
    with pytest.raises(ValueError, match="`validation_fraction` must be above"):
        make_pipeline().validation()


@pytest.mark.parametrize("num_shards", [2, 3])
def test_the_shards_of_a_batch_are_the_batch(make_pipeline, num_shards):
    pipeline = make_pipeline(batch_size=6, **AUGMENTED)
    whole = list(pipeline.train(2).as_numpy_iterator())
    shards = [
        list(pipeline.train(2, 0, num_shards, shard).as_numpy_iterator())
        for shard in range(num_shards)
    ]
    assert {len(batches) for batches in shards} == {len(whole)}
    for step, (images, labels) in enumerate(whole):
        parts = [batches[step] for batches in shards]
        assert {len(part[1]) for part in parts} == {6 // num_shards}
        for expected, index in ((images, 0), (labels, 1)):
            joined = np.concatenate([part[index] for part in parts])
            np.testing.assert_array_equal(joined, expected)


def test_the_shards_of_a_test_are_the_test(make_pipeline):
    pipeline = make_pipeline(batch_size=4, test_split="train[:9]")
    expected = _collect(pipeline.test())
    shards = [
        list(pipeline.test(2, shard).as_numpy_iterator()) for shard in (0, 1)
    ]
    # The ninth alone would leave one of the two without.
    sizes = [[len(y) for _, y in batches] for batches in shards]
    assert sizes == [[2, 2], [2, 3]]
    in_order = [part for step in zip(*shards, strict=True) for part in step]
    for index in (0, 1):
        joined = np.concatenate([part[index] for part in in_order])
        np.testing.assert_array_equal(joined, expected[index])


def test_what_is_held_out_has_shards_too(make_pipeline):
    pipeline = make_pipeline(validation_fraction=0.25)
    whole, _ = _collect(pipeline.validation())
    parts = [_collect(pipeline.measured(2, shard)[0])[0] for shard in (0, 1)]
    np.testing.assert_array_equal(parts[0][:4], whole[:4])
    np.testing.assert_array_equal(parts[1][:4], whole[4:8])
    assert [len(part) for part in parts] == [5, 5]


@pytest.mark.parametrize(
    ("num_shards", "shard", "error", "message"),
    [
        (3, 0, ValueError, "`num_shards` must divide the batch size, 8.*=3"),
        (0, 0, ValueError, "`num_shards` must be at least 1"),
        (16, 0, ValueError, "`num_shards` must be .* at most 8"),
        (2, 2, ValueError, "`shard` must be at least 0 and at most 1"),
        (2, -1, ValueError, "`shard` must be"),
        (2, 0.5, TypeError, "`shard` must be an integer"),
    ],
)
def test_shards_must_fit_the_batch(
    make_pipeline, num_shards, shard, error, message
):
    pipeline = make_pipeline(validation_fraction=0.5)
    for batches in (pipeline.test, pipeline.validation, pipeline.measured):
        with pytest.raises(error, match=message):
            batches(num_shards, shard)
    with pytest.raises(error, match=message):
        pipeline.train(1, 0, num_shards, shard)


def test_no_shard_may_be_empty(make_pipeline):
    pipeline = make_pipeline(test_split="test[:3]")
    with pytest.raises(ValueError, match="number of examples, 3.*num_shards=4"):
        pipeline.test(4, 0)


def test_label_smoothing_is_for_training_only(make_pipeline):
    plain = make_pipeline()
    smooth = dataclasses.replace(plain, label_smoothing=0.2)
    for expected, labels, rest in (
        (_collect(plain.train(1))[1], _collect(smooth.train(1))[1], 0.05),
        (_collect(plain.test())[1], _collect(smooth.test())[1], 0.0),
    ):
        assert labels.dtype == np.float32
        one_hot = np.eye(4)[expected]
        np.testing.assert_allclose(
            labels, np.where(one_hot, 1 - 3 * rest, rest), atol=1e-6
        )


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "`batch_size` must be at least 1"),
        ({"batch_size": 41}, ValueError, "at most 40.*batch_size=41"),
        ({"batch_size": 8.0}, TypeError, "`batch_size` must be an integer"),
        ({"batch_size": True}, TypeError, "`batch_size` must be an integer"),
        ({"seed": -1}, ValueError, "`seed` must be at least 0"),
        ({"seed": 2**63}, ValueError, "`seed` must be"),
        ({"pad": -1}, ValueError, "`pad` must be at least 0"),
        ({"pad": 6}, ValueError, "`pad` must be .* at most 5"),
        ({"cutout": -2}, ValueError, "`cutout` must be at least 0"),
        ({"cutout": 6}, ValueError, "`cutout` must be .* at most 5"),
        ({"flip": 1}, TypeError, "`flip` must be True or False"),
        ({"label_smoothing": 1.0}, ValueError, "below 1.*label_smoothing=1"),
        ({"label_smoothing": -0.1}, ValueError, "`label_smoothing` must be"),
        ({"label_smoothing": "0.1"}, TypeError, "must be a number"),
        ({"validation_fraction": 1.0}, ValueError, "_fraction` .* below 1"),
        ({"validation_fraction": -0.1}, ValueError, "`validation_fraction`"),
        ({"validation_fraction": None}, TypeError, "must be a number"),
        ({"validation_fraction": 0.01}, ValueError, "one to validate on.* 40"),
        (
            {"validation_fraction": 0.99, "batch_size": 1},
            ValueError,
            "at least one example to train on.*0.99",
        ),
        (
            {"validation_fraction": 0.5, "batch_size": 21},
            ValueError,
            "at most 20.*batch_size=21",
        ),
        ({"name": 3}, TypeError, "`name` must be a string"),
        ({"name": "two words"}, ValueError, "two words"),
        ({"name": "tiny_photos"}, ValueError, "`size` must be.*tiny_photos"),
        ({"size": 0}, ValueError, "`size` must be at least 1"),
        ({"size": 8.0}, TypeError, "`size` must be an integer"),
        ({"size": 4, "cutout": 5}, ValueError, "`cutout` must be .* most 4"),
        ({"crop": "random"}, ValueError, "`crop` must be 'inception' or None"),
        ({"label": "coarse"}, ValueError, "`label` a feature.*'coarse'"),
        ({"label": "id"}, ValueError, "`label` a feature that is a class"),
        ({"label": None}, TypeError, "`label` must be a string"),
        ({"mixup": -0.1}, ValueError, "`mixup` must be at least 0"),
        ({"mixup": float("inf")}, ValueError, "`mixup` must be .*finite"),
        ({"cutmix": float("nan")}, ValueError, "`cutmix` must be"),
        ({"cutmix": True}, TypeError, "`cutmix` must be a number"),
        ({"mixup": 1.0, "batch_size": 1}, ValueError, "least 2 for `mixup`"),
        ({"train_split": "validation"}, ValueError, "`train_split` .*train"),
        ({"train_split": "train[:99]"}, ValueError, "'train': 40"),
        ({"test_split": "test[:"}, ValueError, "`test_split` must be one"),
        ({"test_split": "test[3:3]"}, ValueError, "at least one example"),
        ({"test_split": None}, TypeError, "`test_split` must be a string"),
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
    [(-1, 0, "`epochs` must"), (3, 4, "at most 3"), (3, -1, "`first_epoch`")],
)
def test_epochs_must_run_forwards(make_pipeline, epochs, first_epoch, message):
    with pytest.raises(ValueError, match=message):
        make_pipeline().train(epochs, first_epoch)


@pytest.mark.parametrize(
    "mixing", [{"mixup": 0.5}, {"cutmix": 1.0}, {"mixup": 1.0, "cutmix": 1.0}]
)
def test_an_example_is_mixed_with_the_next_of_its_batch(make_pipeline, mixing):
    plain = make_pipeline(**AUGMENTED, label_smoothing=0.2)
    mixed = make_pipeline(**AUGMENTED, label_smoothing=0.2, **mixing)
    weights, kinds = [], set()
    for (images, labels), (found, classes) in zip(
        plain.train(2).as_numpy_iterator(),
        mixed.train(2).as_numpy_iterator(),
        strict=True,
    ):
        assert (found.shape, classes.dtype) == (images.shape, np.float32)
        np.testing.assert_allclose(classes.sum(1), 1, rtol=1e-5)
        for i, image in enumerate(found):
            first, second = images[i], images[(i + 1) % 8]
            one, two = labels[i], labels[(i + 1) % 8]
            if np.array_equal(one, two):
                continue  # the labels do not tell the weight
            weight = np.mean(
                (classes[i] - two)[one != two] / (one - two)[one != two]
            )
            weights.append(weight)
            if not 0.001 < weight < 0.999:
                continue  # no telling one from the other
            of_all = weight * first + (1 - weight) * second
            if np.allclose(image, of_all, atol=1e-4):
                kinds.add("mixup")
                continue
            # Whole pixels of either, as many as the labels say.
            kinds.add("cutmix")
            is_first = np.all(image == first, axis=-1)
            is_second = np.all(image == second, axis=-1)
            assert np.all(is_first | is_second)
            part = 1 - weight
            assert (~is_first).mean() - 1e-5 <= part <= is_second.mean() + 1e-5
    assert kinds == set(mixing)
    assert np.std(weights) > 0.1
    # The test is not mixed, but has labels for the same loss.
    images, labels = _collect(mixed.test())
    np.testing.assert_array_equal(images, _collect(plain.test())[0])
    assert set(np.unique(labels)) == {0, 1}


def test_a_constant_weight_is_none(make_pipeline):
    first, second = (
        _collect(make_pipeline(mixup=1.0, seed=seed).train(1))[1]
        for seed in (0, 1)
    )
    assert not np.array_equal(first, second)
