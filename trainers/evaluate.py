"""Measures the trained network of a run again, and more on demand.

    python -m trainers.evaluate --workdir runs/digits

Prints the run's final table for the saved model and writes nothing. It is
measured on the test split, also for a run that held out a part of its training
split; `--split` names other images of the same set, `--data_dir` another place
of the set. The network of the same size that a run is compared with is a run
itself, `--workdir runs/digits/one_network`. Longer measurements are made on
demand:

    python -m trainers.evaluate --workdir runs/digits --corruptions all
    python -m trainers.evaluate --workdir DIR --interpolation 11

`--corruptions` measures ensemble and members on corrupted test images of
severity 1 to 5 (all that need no download, or those named), `--interpolation`
on that many points of the straight line between every two members of equal
architecture. Results are added to the run's metrics.json, as `corruptions` and
`interpolation`, and to its figures and logs.
"""

import contextlib

from absl import flags
from ml_collections import ConfigDict

import keras_superweights as ksw
from keras_superweights.datasets.corruptions import CORRUPTIONS
from keras_superweights.files import write_json
from trainers import run
from trainers.phases import experiment
from trainers.phases import measuring
from trainers.phases import report
from trainers.runs.lock import only_process
from trainers.runs.model import load_network
from trainers.runs.reading import read_json
from trainers.runs.workdir import Workdir


def evaluate(path, split=None, data_dir=None, interpolation=0, corruptions=()):
    """Measures the saved model of a run; takes the flags of the program.

    `split` and `data_dir` default to the config's; `corruptions` are names or
    `["all"]`. Returns the dict of `measuring.measure`, with `"split"`, and
    `"interpolation"` and `"corruptions"` if asked for.

    Raises:
        ValueError: If there is no finished run, or one of its files is
            damaged; if no two members are equal, or a corruption is unknown;
            if another process works there. Nothing is written then.
    """
    workdir = Workdir(path)
    config = ConfigDict(workdir.read_config())
    for file in (workdir.model, workdir.metrics):
        if not file.exists():
            raise ValueError(
                f"The run in {workdir.path} has no {file.name}: it is not "
                "finished. The command that started it continues it."
            )
    with contextlib.ExitStack() as stack:
        if interpolation or corruptions:
            stack.enter_context(only_process(workdir.path))
        return _evaluate(
            workdir, config, split, data_dir, interpolation, corruptions
        )


def _evaluate(workdir, config, split, data_dir, interpolation, corruptions):
    kept = read_json(workdir.metrics, report.FORM)
    experiment.check(config)
    if split is not None:
        config.data.test_split = split
    if data_dir is not None:
        config.data.data_dir = data_dir
    images = experiment.pipeline(config)
    network = load_network(workdir.model)
    # Errors come before measurements.
    if interpolation < 0 or interpolation == 1:
        raise ValueError(
            "`--interpolation` must be 0, or at least 2 points. "
            f"Received: {interpolation}."
        )
    pairs = measuring.equal_pairs(network) if interpolation else []
    more = {}
    if corruptions:
        names = CORRUPTIONS if list(corruptions) == ["all"] else corruptions
        found = ksw.metrics.evaluate_corrupted(network, images, names)
        more["corruptions"] = {"split": images.test_split, **found}
    if pairs:
        more["interpolation"] = measuring.measure_interpolation(
            network, images, pairs, interpolation
        )
    if more:
        ksw.callbacks.write_figures(
            workdir.logs,
            measuring.extra_figures(more),
            step=config.epochs,
            figures_dir=workdir.figures,
        )
        write_json(workdir.metrics, {**kept, **more})
    logits, labels = ksw.metrics.predict_members(network, images.test())
    measured = measuring.measure(network, logits, labels)
    return {"split": images.test_split, **measured, **more}


def main(options):
    metrics = evaluate(
        options.workdir,
        options.split,
        options.data_dir,
        options.interpolation,
        options.corruptions,
    )
    print(report.table(metrics))


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "Directory of the run.")
    flags.DEFINE_string("split", None, "Split, or the config's.")
    flags.DEFINE_string("data_dir", None, "Where tfds' sets lie.")
    flags.DEFINE_integer(
        "interpolation", 0, "Points between members of equal architecture."
    )
    flags.DEFINE_list("corruptions", [], "Corruptions by name, or 'all'.")
    flags.mark_flags_as_required(["workdir"])
    run(main)
