"""The order of examples, and how workers divide them."""

import numpy as np
import pytest

from keras_superweights.datasets import epoch_plan


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.25, 0.5, 0.9])
def test_a_split_is_divided_in_two_evenly(fraction):
    trained, held_out = epoch_plan.hold_out(1000, fraction)
    assert len(held_out) == 1000 * fraction
    assert sorted([*trained, *held_out]) == list(range(1000))
    for part in (trained, held_out):
        assert list(part) == sorted(part)
        # Every tenth of the split has its fair share.
        tenths = np.bincount(part // 100, minlength=10)
        expected = len(part) / 10
        assert np.all(np.abs(tenths - expected) <= 4 * np.sqrt(expected))


def test_a_batch_is_cut_into_equal_parts_in_order():
    for num_shards in (1, 2, 3, 6):
        parts = [
            epoch_plan.shard_rows(6, num_shards, shard, with_next=False)
            for shard in range(num_shards)
        ]
        assert {len(part) for part in parts} == {6 // num_shards}
        assert [*np.concatenate(parts)] == [0, 1, 2, 3, 4, 5]
        for shard, part in enumerate(parts):
            more = epoch_plan.shard_rows(6, num_shards, shard, with_next=True)
            assert [*more] == [*part, (part[-1] + 1) % 6]


@pytest.mark.parametrize("num_shards", [1, 2, 3, 4, 12])
def test_shards_see_every_example_once_and_step_together(num_shards):
    batch_size = 12
    for num_examples in range(num_shards, 50):
        numbers = (num_examples, batch_size, num_shards)
        cuts = [
            zip(*epoch_plan.cut_batches(*numbers, shard), strict=True)
            for shard in range(num_shards)
        ]
        steps = list(zip(*cuts, strict=True))  # equally many per shard
        seen = [i for step in steps for cut in step for i in range(*cut)]
        assert seen == list(range(num_examples))
        for step in steps:
            sizes = [stop - start for start, stop in step]
            assert min(sizes) >= 1 and max(sizes) - min(sizes) <= 1
        # All batches but the last are full. The rest is added to the last full
        # batch if it has fewer rows than there are shards.
        whole = [sum(stop - start for start, stop in step) for step in steps]
        assert set(whole[:-1]) <= {batch_size}
        assert whole[-1] < batch_size + num_shards
        if num_shards == 1:
            assert whole[-1] <= batch_size
