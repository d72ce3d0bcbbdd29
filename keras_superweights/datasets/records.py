"""Random access to the records of a tfds split.

tfds writes TFRecord files, which are made to be read from start to end. Every
record starts with its length, so reading all lengths once gives an index for
reading records in any order, and each worker only its own. This is fast on
SSDs, or if the files fit into the cache of the system.
"""

import concurrent.futures
import os
import struct

import numpy as np

_HEAD = 12  # the length, uint64, and its checksum
_TAIL = 4  # the checksum of the data
_FILES_AT_ONCE = 16  # waiting for the disk, not computing


class Records:
    """The serialised examples of a split.

    Args:
        split: A split of `builder.info.splits`, slices included.

    Raises:
        ValueError: If a file does not have the examples that tfds wrote.

    Example:

    >>> serialized = Records(builder.info.splits["train[:100]"]).read(99)
    """

    def __init__(self, split):
        instructions = split.file_instructions
        # Open for as long as this object lives.
        self._files = [
            open(instruction.filename, "rb", buffering=0)  # noqa: SIM115
            for instruction in instructions
        ]
        with concurrent.futures.ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
            parts = list(pool.map(_index, instructions, self._files))
        self._places = np.concatenate(parts)  # (n, 2), offset and length
        self._file_of = np.repeat(np.arange(len(parts)), [*map(len, parts)])

    def read(self, index):
        """Returns the bytes of a record; safe to call from several threads."""
        offset, length = self._places[index]
        file = self._files[self._file_of[index]]
        return os.pread(file.fileno(), length, offset)


def _index(instruction, file):
    """Returns offset and length of the selected records of a file."""
    size = os.fstat(file.fileno()).st_size
    places = []
    position = 0
    while position + _HEAD <= size:
        (length,) = struct.unpack("<Q", os.pread(file.fileno(), 8, position))
        places.append((position + _HEAD, length))
        position += _HEAD + length + _TAIL
    if position != size or len(places) != instruction.examples_in_shard:
        raise ValueError(
            f"{file.name} must be a TFRecord file of "
            f"{instruction.examples_in_shard} examples, as tfds noted when it "
            f"wrote it. Received: {len(places)} records in {size} bytes. The "
            "file is damaged or incomplete: copy it again, or prepare the set "
            "again."
        )
    taken = slice(instruction.skip, instruction.skip + instruction.take)
    return np.array(places[taken])
