"""The search as a phase of a run, which can be killed and continued.

    search/allocation-start.json  what was pretrained, every cluster tied
    search/search.json            thresholds tried, unused kernels, losses
    search/similarities.npz       psi_W for each starting cluster, by its name;
                                  written last, so a search that has it is done
    search/backup/                the pretraining

Similarities are all that is measured: the allocation follows from them and the
config. A run that is continued lets it follow again, and so notices when a
file was edited or damaged.
"""

import dataclasses
import json
import shutil
import zipfile

import numpy as np

from keras_superweights.search import find_clusters
from keras_superweights.search.refinement import Refinement
from keras_superweights.search.refinement import fit_clusters
from trainers import experiment
from trainers.pretraining import begin
from trainers.pretraining import check_measured
from trainers.workdir import check_unchanged
from trainers.workdir import read_json
from trainers.workdir import replacing
from trainers.workdir import write_json


def search(config, workdir, images, start):
    """Finds the clusters of a run, or reads what it has found already.

    To be called inside the scope of the config's devices.

    Args:
        config: The `ConfigDict` of the run.
        workdir: Its `Workdir`, open.
        images: Its `ImagePipeline`.
        start: The `Allocation` to start from, of `experiment.allocate`.

    Returns:
        `(refinement, seconds)`: the `search.Refinement`, and the time that
        the epochs of the pretraining took.

    Raises:
        ValueError: If the loss is not finite, or a file of an earlier search
            does not fit; nothing is changed then.
    """
    directory = workdir.search
    measured = directory / "similarities.npz"
    if not measured.exists():
        check_measured(measured, workdir)
        _search(config, directory, images, start.budget_params)
    similarities = _read_similarities(config, measured, start)
    rule = experiment.sharing(config)
    allocation, tries = fit_clusters(
        start.members,
        rule,
        similarities,
        config.search.tau,
        start.budget_params,
    )
    check_unchanged(
        directory / "allocation-start.json", json.loads(start.to_json())
    )
    notes = read_json(directory / "search.json")
    # What does not follow is only told.
    told = {name: notes.get(name, {}) for name in ("unused", "history")}
    check_unchanged(directory / "search.json", {"tries": _plain(tries), **told})
    refinement = Refinement(
        allocation=allocation,
        start=start,
        similarities=tuple(similarities),
        tries=tries,
        unused=tuple(
            index
            for index, kernel in enumerate(start.kernels)
            if {"member": kernel.member, "layer": kernel.layer}
            in notes["unused"]
        ),
    )
    return refinement, sum(notes["history"]["seconds"])


def adopt(config, workdir, other, start):
    """Takes over what another run has measured, instead of measuring it again.

    The pretraining knows nothing of tau, nor of what comes after it: for a run
    that differs in nothing else, similarities are the same, and only the
    allocation that follows is another.

    Args:
        config: The `ConfigDict` of the run.
        workdir: Its `Workdir`, open.
        other: The `Workdir` of the run that has measured.
        start: The `Allocation` that both start from.
    """
    measured = workdir.search / "similarities.npz"
    if measured.exists():
        return
    similarities = _read_similarities(
        config, other.search / "similarities.npz", start
    )
    _, tries = fit_clusters(
        start.members,
        experiment.sharing(config),
        similarities,
        config.search.tau,
        start.budget_params,
    )
    notes = read_json(other.search / "search.json")
    workdir.search.mkdir(exist_ok=True)
    write_json(
        workdir.search / "allocation-start.json", json.loads(start.to_json())
    )
    write_json(
        workdir.search / "search.json", {**notes, "tries": _plain(tries)}
    )
    with replacing(measured) as unfinished:
        shutil.copyfile(other.search / measured.name, unfinished)


def _search(config, directory, images, budget_params):
    """Pretrains, goes on with it, and writes what was found."""
    rule = experiment.sharing(config)
    arguments, backup = begin(config, directory, images, "search")
    found = find_clusters(
        experiment.members(config),
        budget_params,
        tau=config.search.tau,
        depth_bins=rule.depth_bins,
        max_templates=rule.max_templates,
        kinds=rule.kinds,
        exclude=rule.exclude,
        sketch_size=config.search.sketch_size or None,
        **arguments,
    )
    directory.mkdir(exist_ok=True)
    write_json(
        directory / "allocation-start.json", json.loads(found.start.to_json())
    )
    kernels = found.start.kernels
    write_json(
        directory / "search.json",
        {
            "tries": _plain(found.tries),
            "unused": [
                {"member": kernels[k].member, "layer": kernels[k].layer}
                for k in found.unused
            ],
            "history": backup.history,
        },
    )
    names = [c.name for c in rule.start_clusters(found.start.members)]
    with replacing(directory / "similarities.npz") as unfinished:
        np.savez(
            unfinished, **dict(zip(names, found.similarities, strict=True))
        )


def _read_similarities(config, path, start):
    """For each starting cluster its matrix, checked for its shape."""
    clusters = experiment.sharing(config).start_clusters(start.members)
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
    return [matrices[cluster.name] for cluster in clusters]


def _plain(tries):
    return [dataclasses.asdict(each) for each in tries]
