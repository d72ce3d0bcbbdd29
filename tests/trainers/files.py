"""Running programs, and looking at the files that they leave."""

import importlib.util
import json
import runpy
import shutil
import sys
import warnings
from unittest import mock

import numpy as np
import tensorflow as tf
from absl import flags


def run_program(name, *arguments):
    """Runs `python -m trainers.NAME` in this process; returns how it ends.

    Starting Python and importing TensorFlow takes longer than most programs.
    """
    before = set(flags.FLAGS)
    try:
        with (
            mock.patch.object(sys, "argv", [name, *arguments]),
            warnings.catch_warnings(),
        ):
            # That a test has imported the program as well is no harm.
            warnings.filterwarnings("ignore", module="runpy")
            warnings.filterwarnings("ignore", ".*load_module")
            runpy.run_module(f"trainers.{name}", run_name="__main__")
    except SystemExit as end:
        return end.code
    finally:
        for flag in set(flags.FLAGS) - before:
            delattr(flags.FLAGS, flag)
        flags.FLAGS.unparse_flags()
        # The next config would be loaded into it, and keep what it has.
        sys.modules.pop("config_config", None)


def contents(path):
    """The bytes of every file, by its path."""
    return {p: p.read_bytes() for p in path.rglob("*") if p.is_file()}


def edit_json(path, edit):
    """Changes a JSON file by a function of its data."""
    data = json.loads(path.read_text())
    edit(data)
    path.write_text(json.dumps(data))


def flip(path, place=0.5):
    """Damages one bit of a file, at this fraction of its size."""
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1
    path.write_bytes(content)


def unfinished(run, tmp_path):
    """A copy of a run that was killed just before its end."""
    shutil.copytree(run[1], tmp_path / "copy")
    (tmp_path / "copy" / "metrics.json").unlink()
    return tmp_path / "copy"


def config_of(file):
    """The config in a file, as `--config` loads it."""
    spec = importlib.util.spec_from_file_location("trial", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()


def assert_figure(path, tag, step=None):
    """A figure is a file of a directory, and an image of its logs."""
    png = (path / "figures" / f"{tag.replace('/', '-')}.png").read_bytes()
    (image,) = [
        tf.make_ndarray(value.tensor)[2]  # behind width and height
        for file in path.glob("logs/figures/events*")
        for event in tf.compat.v1.train.summary_iterator(str(file))
        for value in event.summary.value
        if value.tag == tag and step in (None, event.step)
    ]
    np.testing.assert_array_equal(
        tf.io.decode_png(image), tf.io.decode_png(png, channels=3)
    )
