"""The search as a phase of a run, which can be killed and continued.

    search/allocation-start.json  what was pretrained, every cluster tied
    search/search.json            thresholds tried, unused kernels, losses
    search/similarities.npz       psi_W for each starting cluster, by its name,
                                  and psi_C, as "<name> coefficients"; written
                                  last, so a search that has it is done
    search/SHA256SUMS             checksums of these two
    search/backup/                the pretraining

Only similarities and unused kernels are measured: a continued run derives the
allocation from them and the config again, and so notices when a file does not
fit.
"""

import dataclasses
import json

import numpy as np

import keras_superweights as ksw
from keras_superweights import files
from trainers.phases import experiment
from trainers.phases.pretraining import begin
from trainers.phases.pretraining import is_measured
from trainers.runs.reading import NUMBER
from trainers.runs.reading import REMEDY
from trainers.runs.reading import check_sound
from trainers.runs.reading import check_unchanged
from trainers.runs.reading import read_json

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
    if is_measured(directory / _SIMILARITIES, workdir):
        measured, history = _read(config, directory, start)
    else:
        arguments, backup = begin(config, directory, images, "search")
        measured = ksw.search.measure_similarity(
            experiment.members(config),
            start.budget_params,
            sharing=experiment.sharing(config),
            sketch_size=config.search.sketch_size or None,
            **arguments,
        )
        history = backup.history
    found = _refine(config, directory, measured, history)
    return found, sum(history["seconds"])


def adopt(config, workdir, other, start):
    """Takes over the measurement of another run instead of repeating it.

    The pretraining does not depend on thresholds and later phases: runs that
    differ only in these have the same similarities. `other` is the `Workdir`
    of the measured run; both start from the `Allocation` `start`.
    """
    if not (workdir.search / _SIMILARITIES).exists():
        _refine(config, workdir.search, *_read(config, other.search, start))


def _refine(config, directory, measured, history):
    """Refines the clusters; writes what was found, or compares it with files.

    Refuses files that say something else.
    """
    rule = experiment.sharing(config)
    thresholds = config.search.tau, config.search.beta
    found = ksw.search.refine(measured, rule, *thresholds)
    start = found.start
    contents = {
        "allocation-start.json": json.loads(start.to_json()),
        "search.json": {
            "tries": [dataclasses.asdict(each) for each in found.tries],
            "unused": [_name(start.kernels[k]) for k in found.unused],
            "history": history,
        },
    }
    if (directory / _SIMILARITIES).exists():
        for name, content in contents.items():
            check_unchanged(directory / name, content)
        return found
    directory.mkdir(exist_ok=True)
    for name, content in contents.items():
        files.write_json(directory / name, content)
    names = _names(rule.start_clusters(start.members))
    matrices = found.similarities + found.coefficient_similarities
    with files.replacing(directory / _SIMILARITIES) as unfinished:
        np.savez(unfinished, **dict(zip(names, matrices, strict=True)))
        files.write_checksums([directory / "search.json", unfinished])
    return found


def _read(config, directory, start):
    """Reads an earlier `(Measurement, history)`; checks what is measured."""
    path = directory / _SIMILARITIES
    check_sound([path, directory / "search.json"])
    clusters = experiment.sharing(config).start_clusters(start.members)
    try:
        with np.load(path) as stored:
            matrices = dict(stored)
        are_cosines = all((np.abs(m) <= 1).all() for m in matrices.values())
    except Exception as error:  # whatever a damaged archive makes NumPy say
        raise ValueError(
            f"{path} must hold the similarities that the run has measured. "
            f"Received: {type(error).__name__}: {error}. {REMEDY}"
        ) from error
    names = _names(clusters)
    counts = [len(cluster.kernels) for cluster in clusters]
    expected = {n: (c, c) for n, c in zip(names, counts * 2, strict=True)}
    shapes = {name: matrix.shape for name, matrix in matrices.items()}
    if shapes != expected or not are_cosines:
        raise ValueError(
            f"{path} must hold a matrix of cosines for every starting cluster, "
            f"and one for its coefficients, of the shapes {expected}. "
            f"Received: {shapes}, or values outside [-1, 1]. A search of an "
            "older version has none for coefficients and cannot be continued. "
            f"{REMEDY}"
        )
    found = [matrices[name] for name in names]
    form = {"unused": [dict], "history": {"seconds": [NUMBER]}}
    notes = read_json(directory / "search.json", form)
    unused = notes["unused"]
    indices = [i for i, k in enumerate(start.kernels) if _name(k) in unused]
    measured = ksw.search.Measurement(
        start,
        tuple(found[: len(clusters)]),
        tuple(found[len(clusters) :]),
        tuple(indices),
    )
    return measured, notes["history"]


def _names(clusters):
    """Returns the names of all matrices: psi_W first, then psi_C."""
    names = [cluster.name for cluster in clusters]
    return names + [f"{name} coefficients" for name in names]


def _name(kernel):
    return {"member": kernel.member, "layer": kernel.layer}
