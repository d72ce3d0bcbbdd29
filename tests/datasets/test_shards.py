"""The rows of a batch that each worker computes."""

import numpy as np
import pytest

AUGMENTED = {"pad": 1, "flip": True, "cutout": 2}


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


def test_the_shards_of_a_test_are_the_test(make_pipeline, collect):
    pipeline = make_pipeline(batch_size=4, test_split="train[:9]")
    expected = collect(pipeline.test())
    shards = [
        list(pipeline.test(2, shard).as_numpy_iterator()) for shard in (0, 1)
    ]
    # The ninth example alone would leave one shard empty.
    sizes = [[len(y) for _, y in batches] for batches in shards]
    assert sizes == [[2, 2], [2, 3]]
    in_order = [part for step in zip(*shards, strict=True) for part in step]
    for index in (0, 1):
        joined = np.concatenate([part[index] for part in in_order])
        np.testing.assert_array_equal(joined, expected[index])


def test_what_is_held_out_has_shards_too(make_pipeline, collect):
    pipeline = make_pipeline(validation_fraction=0.25)
    whole, _ = collect(pipeline.validation())
    parts = [collect(pipeline.measured(2, shard)[0])[0] for shard in (0, 1)]
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
