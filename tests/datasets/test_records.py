"""Random access to records, compared with reading whole files."""

import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

from keras_superweights.datasets import prepared
from keras_superweights.datasets.records import Records


@pytest.mark.parametrize(
    "split", ["train", "train[3:17]", "train[:2]+train[15:]", "test[-1:]"]
)
def test_every_record_is_found_by_its_number(tiny_dir, split):
    splits = prepared.open_builder("tiny_photos", tiny_dir).info.splits
    assert splits["train"].num_shards == 3
    expected = [
        record
        for file in splits[split].file_instructions
        for record in tf.data.TFRecordDataset(file.filename)
        .skip(file.skip)
        .take(file.take)
        .as_numpy_iterator()
    ]
    records = Records(splits[split])
    order = np.random.default_rng(0).permutation(splits[split].num_examples)
    assert [records.read(i) for i in order] == [expected[i] for i in order]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-5],
        lambda data: data + data,
        lambda data: b"",
        lambda data: data[:7] + b"\x01" + data[8:],
    ],
    ids=["cut off", "twice", "empty", "of another length"],
)
def test_a_damaged_file_is_named(tiny_dir, tmp_path, damage):
    shutil.copytree(tiny_dir / "tiny_photos", tmp_path / "tiny_photos")
    info = prepared.open_builder("tiny_photos", tmp_path).info
    path = pathlib.Path(info.splits["train"].file_instructions[1].filename)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=f"{path.name} must be .* copy it"):
        Records(info.splits["train"])
