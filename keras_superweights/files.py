"""Writes files whole or not at all, and tells later whether they still are.

A killed process leaves no half of a file. What a disk or a copy damages is told
by checksums in a file beside, which `sha256sum --check SHA256SUMS` reads, too.
"""

import contextlib
import hashlib
import json
import os
import pathlib

# Prefix of a file until it is complete.
UNFINISHED = "unfinished-"
CHECKSUMS = "SHA256SUMS"


@contextlib.contextmanager
def replacing(path):
    """Yields another path to write to, and renames it to `path` at the end.

    Example:

    ```python
    with replacing("model.keras") as unfinished:
        network.save(unfinished)
    ```
    """
    path = pathlib.Path(path)
    unfinished = path.with_name(UNFINISHED + path.name)
    yield unfinished
    os.replace(unfinished, path)


def write_text(path, text):
    with replacing(path) as unfinished:
        unfinished.write_text(text)


def write_json(path, data):
    """Writes plain data as indented JSON."""
    write_text(path, json.dumps(data, indent=2) + "\n")


def write_checksums(paths):
    """Writes the checksums of files of one directory, into that directory.

    A file that is not complete yet is listed by the name it will get, so that
    its checksum is there before it.
    """
    lines = "".join(f"{_checksum(path)}\n" for path in paths)
    write_text(paths[0].with_name(CHECKSUMS), lines)


def damaged(paths) -> list[pathlib.Path]:
    """Returns which files of one directory are not as they were written.

    Without a file of checksums, which older versions did not write, none is
    known to be.
    """
    checksums = paths[0].with_name(CHECKSUMS)
    if not checksums.exists():
        return []
    lines = checksums.read_text(errors="replace").splitlines()
    return [
        path
        for path in paths
        if not path.exists() or _checksum(path) not in lines
    ]


def _checksum(path):
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return f"{digest}  {path.name.removeprefix(UNFINISHED)}"
