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

`keras_superweights.files` writes each whole or not at all, whenever the run is
killed. What a continued run cannot derive again has its checksum in SHA256SUMS
beside it; runs of older versions, which have none, continue without.
"""

import itertools
import json
import pathlib
import shutil

from configs import base
from keras_superweights.allocation.allocation import check_format
from keras_superweights import files

# Format of a run's files. A version that changes it reads all lower ones.
FORMAT = 1

_NOTHING = object()


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
        values = read_json(self.config)
        if not isinstance(values, dict):
            raise ValueError(
                f"A run must keep its config in {self.config}, as a JSON "
                f"object. Received: {values!r}. Put the file back, or discard "
                "the run with `--start_over`."
            )
        check_format(values.pop("format", 0), FORMAT, "run")
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
    # Leftovers of a killed process do not count.
    names = [name for name in names if not name.startswith(files.UNFINISHED)]
    if file.name not in names and set(names) - set(known):
        raise ValueError(
            f"`--workdir` must be new, empty, or the directory of a {kind}. "
            f"Received: {path}, which has no {file.name} but "
            f"{', '.join(names[:5])}. Choose another directory."
        )
    return file.name in names


def read_json(path):
    """Reads a JSON file of a run; refuses a missing or damaged one."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(
            f"A run must keep its file {path}, as JSON. Received: "
            f"{type(error).__name__}: {error}. Put the file back, or discard "
            "the run with `--start_over`."
        ) from error


def check_sound(
    paths,
    remedy="Put the file back, or discard the run with `--start_over`.",
):
    """Refuses files of one directory that do not fit their checksums."""
    for path in files.damaged(paths):
        raise ValueError(
            f"{path} is damaged: it must be as the run has written it, by its "
            f"checksum in {files.CHECKSUMS} beside it. {remedy}"
        )


def check_unchanged(path, expected):
    """Refuses a file whose JSON is not what the run has come to."""
    changes = differences(read_json(path), expected, most=10)
    if changes:
        raise ValueError(
            f"{path} does not fit its run; it, or what it follows from, was "
            f"edited or damaged (what it holds -> what follows):\n{changes}\n"
            "Put the file back, or discard the run with `--start_over`."
        )


def differences(old, new, most=None):
    """Returns lines `place: old -> new` of plain data that differs, as text."""
    # As JSON returns them: lists for tuples.
    old, new = (json.loads(json.dumps(data)) for data in (old, new))
    return "\n".join(itertools.islice(_changes(old, new), most))


def _changes(old, new, place=""):
    """Yields lines `place: old -> new` of the smallest different parts."""
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            inner = f"{place}.{key}" if place else key
            yield from _changes(
                old.get(key, _NOTHING), new.get(key, _NOTHING), inner
            )
    elif (
        isinstance(old, list) and isinstance(new, list) and len(old) == len(new)
    ):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _changes(one, other, f"{place}[{index}]")
    else:
        yield f"  {place}: {_shown(old)} -> {_shown(new)}"


def _shown(value):
    text = "(not there)" if value is _NOTHING else json.dumps(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
