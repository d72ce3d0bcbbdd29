"""The search as a phase of a run, which can be killed and continued.

    search/allocation-start.json  what was pretrained, every cluster tied
    search/search.json            thresholds tried, unused kernels, losses
    search/similarities.npz       psi_W for each starting cluster, by its name;
                                  written last, so a search that has it is done
    search/backup/                the pretraining

Only similarities and unused kernels are measured: a continued run derives the
allocation from them and the config again, and so notices when a file was
edited or damaged.
"""

import dataclasses
import json
import zipfile

import numpy as np

from keras_superweights.files import replacing
from keras_superweights.files import write_json
from keras_superweights.search import Measurement
from keras_superweights.search import measure_similarity
from keras_superweights.search import refine
from trainers.phases import experiment
from trainers.phases.pretraining import begin
from trainers.phases.pretraining import check_measured
from trainers.runs.workdir import check_unchanged
from trainers.runs.workdir import read_json

_SIMILARITIES = "similarities.npz"


def search(config, workdir, images, start):
    """Finds the clusters of a run, from a new or an earlier measurement.

    To be called inside the scope of the config's devices, with the run's open
    `Workdir`, its `ImagePipeline` and the `Allocation` to start from. Returns
    the `search.Refinement` and the seconds of the pretraining's epochs.

    Raises:
        ValueError: If the loss is not finite, or a file of an earlier search
            does not fit; nothing is changed then.
    """
    directory = workdir.search
    file = directory / _SIMILARITIES
    if file.exists():
        measured, history = _read(config, directory, start)
    else:
        check_measured(file, workdir)
        measured, history = _measure(config, directory, images, start)
    found = refine(measured, experiment.sharing(config), config.search.tau)
    _keep(config, directory, found, history)
    return found, sum(history["seconds"])


def adopt(config, workdir, other, start):
    """Takes over the measurement of another run instead of repeating it.

    The pretraining does not depend on tau and later phases: runs that differ
    only in these have the same similarities. `other` is the `Workdir` of the
    measured run; both start from the `Allocation` `start`.
    """
    if (workdir.search / _SIMILARITIES).exists():
        return
    measured, history = _read(config, other.search, start)
    found = refine(measured, experiment.sharing(config), config.search.tau)
    _keep(config, workdir.search, found, history)


def _measure(config, directory, images, start):
    """Pretrains, or resumes it; returns `(Measurement, history)`."""
    arguments, backup = begin(config, directory, images, "search")
    measured = measure_similarity(
        experiment.members(config),
        start.budget_params,
        sharing=experiment.sharing(config),
        sketch_size=config.search.sketch_size or None,
        **arguments,
    )
    return measured, backup.history


def _read(config, directory, start):
    """Reads an earlier `(Measurement, history)`."""
    similarities = _read_similarities(config, directory / _SIMILARITIES, start)
    notes = read_json(directory / "search.json")
    unused = tuple(
        index
        for index, kernel in enumerate(start.kernels)
        if _name(kernel) in notes.get("unused", ())
    )
    return Measurement(start, similarities, unused), notes.get("history", {})


def _keep(config, directory, found, history):
    """Writes what was found, or refuses files that say something else."""
    start = found.start
    files = {
        "allocation-start.json": json.loads(start.to_json()),
        "search.json": {
            "tries": [dataclasses.asdict(each) for each in found.tries],
            "unused": [_name(start.kernels[k]) for k in found.unused],
            "history": history,
        },
    }
    is_kept = (directory / _SIMILARITIES).exists()
    for name, content in files.items():
        if is_kept:
            check_unchanged(directory / name, content)
        else:
            directory.mkdir(exist_ok=True)
            write_json(directory / name, content)
    if not is_kept:
        names = [cluster.name for cluster in _start_clusters(config, start)]
        matrices = dict(zip(names, found.similarities, strict=True))
        with replacing(directory / _SIMILARITIES) as unfinished:
            np.savez(unfinished, **matrices)


def _read_similarities(config, path, start):
    """Reads the matrix of each starting cluster and checks its shape."""
    clusters = _start_clusters(config, start)
    try:
        with np.load(path) as stored:
            matrices = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} must hold the similarities that the run has measured. "
            f"Received: {type(error).__name__}: {error}. Put the file back, "
            "or discard the run with `--start_over`."
        ) from error
    expected = {c.name: (len(c.kernels),) * 2 for c in clusters}
    shapes = {name: matrix.shape for name, matrix in matrices.items()}
    if shapes != expected or not all(
        (np.abs(matrix) <= 1).all() for matrix in matrices.values()
    ):
        raise ValueError(
            f"{path} must hold a matrix of cosines for every starting cluster, "
            f"of the shapes {expected}. Received: {shapes}, or values outside "
            "[-1, 1]. Put the file back, or discard the run with "
            "`--start_over`."
        )
    return tuple(matrices[cluster.name] for cluster in clusters)


def _start_clusters(config, start):
    return experiment.sharing(config).start_clusters(start.members)


def _name(kernel):
    return {"member": kernel.member, "layer": kernel.layer}
