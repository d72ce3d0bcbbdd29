"""Writes files whole or not at all, even if the process is killed."""

import contextlib
import json
import os
import pathlib

# Prefix of a file until it is complete.
UNFINISHED = "unfinished-"


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
