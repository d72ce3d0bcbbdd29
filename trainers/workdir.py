"""The files of a run, and how none of them is ever half written.

    config.json      the full config, which the run belongs to
    allocation.json  the allocation in force
    backup/          what resuming needs
    logs/            TensorBoard
    figures/         curves.png, reliability.png, anytime.png
    model.keras      the trained network
    metrics.json     what was measured; written last, so a run that has it is
                     finished

A file is written under another name and then renamed, which either happens or
does not, whenever the run is killed.
"""

import contextlib
import json
import os
import pathlib
import shutil

_PREFIX = "unfinished-"


class Workdir:
    """The directory of one run.

    Args:
        path: The directory; made by `open`, not before.
    """

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.config = self.path / "config.json"
        self.allocation = self.path / "allocation.json"
        self.backup = self.path / "backup"
        self.logs = self.path / "logs"
        self.figures = self.path / "figures"
        self.model = self.path / "model.keras"
        self.metrics = self.path / "metrics.json"

    def check(self, config):
        """Refuses a directory that belongs to something else; reads only.

        Args:
            config: A `ConfigDict`, or `None` to start over: then any run's
                directory will do.

        Raises:
            ValueError: If the directory has files that are not a run's, or is
                the run of another config; names the keys that differ.
        """
        files = self._files()
        if files and self.config.name not in files:
            raise ValueError(
                "`--workdir` must be new, empty, or the directory of a run. "
                f"Received: {self.path}, which has no config.json but "
                f"{', '.join(sorted(files)[:5])}. Choose another directory."
            )
        if not files or config is None:
            return
        old = _flat(read_json(self.config))
        new = _flat(_plain(config))
        nothing = object()
        changes = [
            f"  {key}: {_shown(old, key)} -> {_shown(new, key)}"
            for key in sorted({*old, *new})
            if old.get(key, nothing) != new.get(key, nothing)
        ]
        if changes:
            raise ValueError(
                f"`--workdir` {self.path} belongs to a run with another "
                "config:\n" + "\n".join(changes) + "\n"
                "Choose another directory, or discard that run with "
                "`--start_over`."
            )

    def open(self, config, start_over=False):
        """Makes the directory and notes the config in it, if it is new.

        Args:
            config: A `ConfigDict`.
            start_over: Whether to delete the files of an earlier run first.

        Raises:
            ValueError: As for `check`.
        """
        self.check(None if start_over else config)
        if start_over:
            self._discard()
        self.path.mkdir(parents=True, exist_ok=True)
        if not self.config.exists():
            write_json(self.config, _plain(config))

    def _files(self):
        """Names in the directory, without what a killed run leaves behind."""
        if not self.path.exists():
            return set()
        if not self.path.is_dir():
            raise ValueError(
                "`--workdir` must be a directory. "
                f"Received: {self.path}, which is a file."
            )
        names = {entry.name for entry in self.path.iterdir()}
        return {name for name in names if not name.startswith(_PREFIX)}

    def _discard(self):
        for path in (
            self.metrics,
            self.model,
            self.figures,
            self.logs,
            self.backup,
            self.allocation,
            self.config,  # last: until then the directory is a run's
        ):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing(path):
    """Gives another path to write to, and renames it to `path` at the end.

    Example:

    ```python
    with replacing(workdir.model) as path:
        network.save(path)
    ```
    """
    unfinished = path.with_name(_PREFIX + path.name)
    yield unfinished
    os.replace(unfinished, path)


def write_json(path, data):
    """Writes plain data, indented, whole or not at all."""
    with replacing(path) as unfinished:
        unfinished.write_text(json.dumps(data, indent=2) + "\n")


def read_json(path):
    """Reads what `write_json` wrote."""
    return json.loads(path.read_text())


def _plain(config):
    """A config as JSON gives it back: lists for tuples."""
    return json.loads(json.dumps(config.to_dict()))


def _flat(section, prefix=""):
    """Nested dicts as one, `{"data.name": ...}`."""
    flat = {}
    for key, value in section.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def _shown(flat, key):
    return json.dumps(flat[key]) if key in flat else "(not there)"
