"""The files of a run.

    config.json      the full config, which the run belongs to
    allocation.json  the allocation that is trained; at the end with the ties
                     that decoupling has left
    search/          how it was found, see `search.py`
    backup/          what resuming needs, of the last two epochs
    logs/            TensorBoard
    figures/         what TensorBoard shows, as PNG files
    model.keras      the trained network
    one_network/     one network of the same size: a run of its own
    metrics.json     what was measured; written last, so a run that has it is
                     finished
    lock             which process works here, while it does

`keras_superweights.files` writes each whole or not at all, whenever the run is
killed. What a continued run cannot derive again has its checksum in SHA256SUMS
beside it; runs of older versions, which have none, continue without.
"""

import json
import pathlib
import shutil

from configs import base
from keras_superweights import files
from keras_superweights.allocation.text import check_format
from trainers.runs import lock
from trainers.runs.reading import check_unchanged
from trainers.runs.reading import differences
from trainers.runs.reading import read_json

# Format of a run's files. A version that changes it reads all lower ones.
FORMAT = 1


class Workdir:
    """The directory of one run.

    Args:
        path: The directory; made by `open`, not before.
    """

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.config = self.path / "config.json"
        self.allocation = self.path / "allocation.json"
        self.search = self.path / "search"
        self.backup = self.path / "backup"
        self.logs = self.path / "logs"
        self.figures = self.path / "figures"
        self.model = self.path / "model.keras"
        self.one_network = self.path / "one_network"
        self.metrics = self.path / "metrics.json"

    def check(self, config):
        """Refuses a directory that belongs to something else; reads only.

        Any run's directory will do for the config `None`, to start over. Errors
        name the keys that differ.
        """
        if not belongs_to(self.config, "run") or config is None:
            return
        expected = base.completed(config.to_dict())
        changes = differences(self.read_config(), expected)
        if changes:
            raise ValueError(
                f"`--workdir` {self.path} belongs to a run with another "
                f"config:\n{changes}\nChoose another directory, or discard "
                "that run with `--start_over`."
            )

    def open(self, config, start_over=False):
        """Makes the directory and writes the config, if it is new.

        With `start_over`, deletes the files of an earlier run first. Refuses
        the same as `check`.
        """
        self.check(None if start_over else config)
        if start_over:
            self._discard()
        self.path.mkdir(parents=True, exist_ok=True)
        if not self.config.exists():
            values = {"format": FORMAT, **config.to_dict()}
            files.write_json(self.config, values)

    def read_config(self):
        """Returns the values of the run's config, as a dict.

        Keys that are newer than the run are at their defaults. Refuses a
        missing or damaged config.json, and unknown formats.
        """
        if not self.config.exists():
            raise ValueError(
                "`--workdir` must be the directory of a run. Received: "
                f"{self.path}, which has no config.json."
            )
        values = read_json(self.config, dict)
        try:
            check_format(values.pop("format", 0), FORMAT, "run")
        except ValueError as error:
            raise ValueError(f"In {self.config}: {error}") from error
        return base.completed(values)

    def keep_allocation(self, allocation, in_force):
        """Writes allocation.json, or refuses one that is not of this run.

        The file may also hold `in_force`: the `allocation` with today's ties,
        as written at the end. The error names what does not fit.
        """
        if not self.allocation.exists():
            self.write_allocation(allocation)
        elif read_json(self.allocation) != json.loads(in_force.to_json()):
            check_unchanged(self.allocation, json.loads(allocation.to_json()))

    def write_allocation(self, allocation):
        """Writes allocation.json."""
        files.write_text(self.allocation, allocation.to_json())

    def _discard(self):
        for path in (
            self.metrics,
            self.one_network,
            self.model,
            self.figures,
            self.logs,
            self.backup,
            self.search,
            self.allocation,
            self.config,  # last: until then the directory is a run's
        ):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def belongs_to(file, kind, known=()):
    """Whether a directory has the file of its owner; otherwise it is empty.

    Refuses a directory with other files than `known`. `kind` names the owner
    in the error, such as `"run"`.
    """
    path = file.parent
    if path.exists() and not path.is_dir():
        raise ValueError(
            f"`--workdir` must be a directory. Received: {path}, which is a "
            "file."
        )
    names = sorted(entry.name for entry in path.glob("*"))
    # Leftovers of a killed process do not count, nor does its lock.
    names = [
        name
        for name in names
        if not name.startswith(files.UNFINISHED) and name != lock.NAME
    ]
    if file.name not in names and set(names) - set(known):
        raise ValueError(
            f"`--workdir` must be new, empty, or the directory of a {kind}. "
            f"Received: {path}, which has no {file.name} but "
            f"{', '.join(names[:5])}. Choose another directory."
        )
    return file.name in names
