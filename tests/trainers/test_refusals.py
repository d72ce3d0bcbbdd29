"""What a run refuses: damaged files, other configs, losses; nothing is lost."""

import errno
import itertools
import os
import pathlib
import shutil

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_superweights.datasets import ImagePipeline
from tests.trainers.files import contents
from tests.trainers.files import edit_json
from tests.trainers.files import flip
from tests.trainers.files import unfinished
from trainers.evaluate import evaluate
from trainers.export import export
from trainers.phases import experiment
from trainers.phases.search import search
from trainers.phases.training import train
from trainers.runs.lock import only_process
from trainers.runs.workdir import Workdir


def similarities(edit):
    """Damage to similarities.npz: a function of its matrices."""

    def damage(path):
        with np.load(path) as stored:
            matrices = {name: stored[name] for name in stored}
        np.savez(path, **edit(matrices))

    return damage


def edited(edit):
    """Damage to a JSON file: a function of its data."""
    return lambda path: edit_json(path, edit)


def cut(path):
    path.write_bytes(path.read_bytes()[:99])


ALLOCATION = "allocation.json"
SEARCH = "search/search.json"
SIMILARITIES = "search/similarities.npz"


@pytest.mark.parametrize(
    "file, damage, told",
    [
        (
            ALLOCATION,
            edited(lambda d: d["superweights"][1].update(num_templates=9)),
            r"allocation.json does not fit.*superweights\[1\].num_temp.*: 9 ->",
        ),
        (
            ALLOCATION,
            edited(lambda d: d["superweights"][0].update(ties=[7])),
            r"superweights\[0\].ties: \[7\] ->",
        ),
        (ALLOCATION, cut, "allocation.json, as JSON"),
        (
            "search/allocation-start.json",
            edited(lambda d: d.update(budget_params=1)),
            "allocation-start.json does not fit.*budget_params: 1 ->",
        ),
        (
            SEARCH,
            edited(lambda d: d["tries"][0].update(tau=0.7)),
            r"search.json does not fit.*tries\[0\].tau: 0.7 -> 0.1",
        ),
        (SEARCH, edited(lambda d: d.pop("history")), r"history: \(not there\)"),
        (SIMILARITIES, cut, "similarities.npz must hold"),
        (
            SIMILARITIES,
            similarities(lambda found: dict(list(found.items())[1:])),
            "a matrix of cosines for every starting cluster",
        ),
        (
            SIMILARITIES,
            similarities(
                lambda found: {
                    k: v for k, v in found.items() if " coe" not in k
                }
            ),
            "older version has none for coefficients",
        ),
        (
            SIMILARITIES,
            similarities(lambda found: {k: -v for k, v in found.items()}),
            "search.json.*fit",
        ),
        (
            SIMILARITIES,
            lambda path: path.unlink(),
            "must also have.*similarities.npz",
        ),
        (
            "backup/epoch-000002/state.weights.h5",
            cut,
            "epoch-000002 must hold the weights",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_without_checksums_what_does_not_fit_is_told_and_left(
    searched_run, tmp_path, file, damage, told
):
    copy = unfinished(searched_run, tmp_path)
    for checksums in copy.rglob("SHA256SUMS"):
        checksums.unlink()  # older versions did not write any
    damage(copy / file)
    before = contents(copy)
    with pytest.raises(ValueError, match=f"(?s){told}.*--start_over"):
        train(searched_run[0], copy)
    assert contents(copy) == before


@pytest.mark.parametrize(
    "file, damage",
    [
        (SEARCH, edited(lambda d: d["history"].update(loss=[2.0, 1.0]))),
        (
            SIMILARITIES,
            similarities(lambda d: {k: v / 2 for k, v in d.items()}),
        ),
        (SIMILARITIES, cut),
    ],
)
def test_damage_that_would_fit_shows_in_checksums(
    searched_run, tmp_path, file, damage
):
    config, path, _ = searched_run
    start = experiment.allocate(config, experiment.members(config))
    shutil.copytree(path / "search", tmp_path / "search")
    damage(tmp_path / file)
    with pytest.raises(ValueError, match=f"{file} is damaged.*--start_over"):
        search(config, Workdir(tmp_path), None, start)


def written(text):
    return lambda path: path.write_text(text)


def plain(path):
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(path)


MODEL, METRICS, CONFIG = "model.keras", "metrics.json", "config.json"
HISTORY = "backup/epoch-000002/history.json"
READERS = {
    "evaluate": lambda config, path: evaluate(path),
    "export": lambda config, path: export(path),
    "train": train,
}


@pytest.mark.parametrize(
    "programs, file, damage, told",
    [
        ("evaluate export", MODEL, cut, "BadZipFile"),
        ("evaluate export", MODEL, written("\0" * 5000), "BadZipFile"),
        ("evaluate export", MODEL, flip, "BadZipFile: .* its checksum"),
        ("evaluate export", MODEL, plain, "a `Sequential`, which shares no"),
        ("train evaluate", METRICS, written("{}"), r"accuracy: \(not there\)"),
        ("train evaluate", METRICS, written("[]"), r"\[\], not an object"),
        (
            "train evaluate",
            METRICS,
            edited(lambda d: d["members"][1].update(flops=True)),
            r"members\[1\].flops: true, not a number",
        ),
        (
            "train evaluate",
            METRICS,
            edited(lambda d: d.update(diversity="much")),
            'diversity: "much", not a number',
        ),
        ("train evaluate", CONFIG, written("[]"), "not an object"),
        (
            "evaluate",
            CONFIG,
            edited(lambda d: d.update(data=3)),
            "`config.data",
        ),
        ("train", CONFIG, edited(lambda d: d.update(data=3)), "data: 3 -> "),
        ("train", HISTORY, written("{}"), r"seconds: \(not there\)"),
        ("train", HISTORY, written("[[[[["), "JSONDecodeError"),
        ("train", HISTORY, written("[" * 10**5), "RecursionError"),
        (
            "train",
            HISTORY,
            edited(lambda d: d.update(seconds=[1])),
            "number per epoch.*'seconds': 1}",
        ),
    ],
)
def test_files_of_another_form_are_named_by_all_that_read_them(
    finished_run, tmp_path, programs, file, damage, told
):
    copy = shutil.copytree(finished_run[1], tmp_path / "copy")
    damage(copy / file)
    if file == HISTORY:
        (copy / "metrics.json").unlink()
        (copy / file).with_name("SHA256SUMS").unlink()
    before = contents(copy)
    for program in programs.split():
        with pytest.raises(ValueError, match=told) as raised:
            READERS[program](finished_run[0], copy)
        if "config." not in told and "->" not in told:
            assert str(copy / file) in str(raised.value)
            assert len(str(raised.value).splitlines()) == 1
    assert contents(copy) == before


@pytest.mark.parametrize(
    "module, name",
    [(os, "replace"), (os, "fsync"), (pathlib.Path, "write_bytes")],
)
@pytest.mark.parametrize("number", [0, 2])
def test_what_the_disk_refuses_is_told_and_the_next_start_ends_the_same(
    finished_run, tmp_path, monkeypatch, no_figures, module, name, number
):
    copy = unfinished(finished_run, tmp_path)
    (copy / "allocation.json").unlink()
    done = getattr(module, name)
    calls = itertools.count()

    def refuse(*arguments):
        if next(calls) == number:
            raise OSError(errno.ENOSPC, "No space left on device")
        return done(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(module, name, refuse)
        with pytest.raises(OSError, match="No space left"):
            train(finished_run[0], copy)
    assert not list(copy.rglob("unfinished-*"))
    assert not (copy / METRICS).exists()
    again = train(finished_run[0], copy)
    assert again["nll"] == finished_run[2]["nll"]


def test_a_run_of_another_process_is_left_alone(finished_run, tmp_path):
    copy = shutil.copytree(finished_run[1], tmp_path / "copy")
    told = f"copy .*in use by process {os.getpid()} on .*, since 2"
    with only_process(copy):
        before = contents(copy)
        for write in (
            lambda: train(finished_run[0], copy, start_over=True),
            lambda: evaluate(copy, interpolation=3),
            lambda: export(copy),
        ):
            with pytest.raises(ValueError, match=told):
                write()
        assert contents(copy) == before
    assert before.keys() - contents(copy).keys() == {copy / "lock"}


@pytest.mark.parametrize(
    "section, key, value",
    [
        ("", "budget_params", 1000.0),  # below the minimum
        ("", "budget_params", -1.0),
        ("sharing", "clusters", "colour"),
        ("data", "data_dir", "/nowhere"),
        ("data", "test_split", "validation"),
        ("data", "name", "no_such_set"),
        ("", "strategy", "mirrored"),
        ("", "members", ({"model": "wide_resnet", "depth": 11, "width": 1},)),
    ],
)
@pytest.mark.parametrize("start_over", [False, True])
def test_a_bad_config_writes_and_deletes_nothing(
    finished_run, tmp_path, section, key, value, start_over
):
    config, path, _ = finished_run
    path = path if start_over else tmp_path / "new"
    before = contents(path)
    config = config.copy_and_resolve_references()
    (config[section] if section else config)[key] = value
    if key == "data_dir":
        config.data.name = "cifar10"
    with pytest.raises(ValueError):
        train(config, path, start_over)
    assert contents(path) == before
    assert path.exists() == start_over


class BrokenImages(ImagePipeline):
    """Everything is undefined from the third step of training on."""

    def train(self, epochs, first_epoch=0, **shards):
        def spoil(step, batch):
            images, labels = batch
            broken = first_epoch * self.steps_per_epoch + step >= 2
            return tf.where(broken, np.nan, 1.0) * images, labels

        batches = super().train(epochs, first_epoch, **shards)
        return batches.enumerate().map(spoil)


@pytest.mark.parametrize(
    "phase, told",
    [
        ("search", "loss=nan after step 1 of epoch 2"),
        ("training", "Received: loss=nan, .*after epoch 2"),
    ],
)
def test_a_loss_that_is_not_finite_keeps_what_was_saved(
    phase, told, tiny_config, tmp_path, monkeypatch, no_figures
):
    config = tiny_config
    config.data.train_split = "train[:64]"
    config.data.batch_size = 32
    config.members = config.members[:1]
    config.budget_params = 0.9
    config.epochs = 3
    config.search.pretrain_epochs = 3 if phase == "search" else 0
    monkeypatch.setattr(
        experiment,
        "pipeline",
        lambda config: BrokenImages(seed=config.seed, **config.data),
    )
    told += f".*backup of epoch 1 of the {phase} is kept.*--start_over"
    with pytest.raises(ValueError, match=told):
        train(config, tmp_path)
    found = {p.name for p in tmp_path.iterdir()}
    trained = {"allocation.json", "backup", "logs"}
    assert found == {"config.json"} | (
        {"search"} if phase == "search" else trained
    )
    (kept,) = tmp_path.rglob("epoch-*")
    assert kept.name == "epoch-000001"
    before = contents(kept)
    # The same command goes on there, and meets the same end.
    with pytest.raises(ValueError, match=told):
        train(config, tmp_path)
    assert contents(tmp_path) | before == contents(tmp_path)
    assert list(tmp_path.rglob("epoch-*")) == [kept]


def test_a_backup_that_is_not_finite_is_told(finished_run, tmp_path):
    """Older versions went on, to a model that nothing could measure."""
    copy = unfinished(finished_run, tmp_path)
    (copy / "model.keras").unlink()
    newest = copy / "backup" / "epoch-000002"
    (newest / "SHA256SUMS").unlink()
    with h5py.File(newest / "state.weights.h5", "r+") as archive:
        weights = archive["generator/banks/bank/vars/0"]
        weights[:] = np.nan
    told = "in bank_0/templates .* after epoch 2.*--start_over"
    with pytest.raises(ValueError, match=told):
        train(finished_run[0], copy)
    assert not (copy / "model.keras").exists()
