"""Writes files whole or not at all, and tells later whether they still are.

A killed process, a full disk or a lost machine leaves no half of a file: what
has its final name is complete, and on the disk. What a disk or a copy damages
is told by checksums in a file beside, which `sha256sum --check SHA256SUMS`
reads, too.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil

# Prefix of a file until it is complete.
UNFINISHED = "unfinished-"
CHECKSUMS = "SHA256SUMS"


@contextlib.contextmanager
def replacing(path):
    """Yields another path to write to, and renames it to `path` at the end.

    It may become a file, or a directory of files that are on the disk. Whatever
    goes wrong leaves nothing there; what a killed process has left is removed.

    Example:

    ```python
    with replacing("model.keras") as unfinished:
        network.save(unfinished)
    ```
    """
    path = pathlib.Path(path)
    unfinished = path.with_name(UNFINISHED + path.name)
    _remove(unfinished)
    try:
        yield unfinished
        if unfinished.is_file():
            # Else a machine that is lost may keep the name, and no content.
            with open(unfinished, "rb") as file:
                os.fsync(file.fileno())
        os.replace(unfinished, path)
    except BaseException:
        _remove(unfinished)
        raise


def _remove(path):
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):  # a cause was told before
            path.unlink()


def write_bytes(path, data):
    with replacing(path) as unfinished:
        unfinished.write_bytes(data)


def write_text(path, text):
    write_bytes(path, text.encode())


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
