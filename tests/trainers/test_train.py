"""A run from its start to its table, and the directory that it leaves."""

import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_superweights as ksw
from keras_superweights.search.refinement import refine
from tests.trainers.files import contents
from tests.trainers.files import edit_json
from tests.trainers.files import unfinished
from trainers import evaluate
from trainers.phases import experiment
from trainers.phases import search
from trainers.phases.training import train
from trainers.runs.reading import read_json
from trainers.runs.workdir import Workdir


def allocation_of(path):
    return ksw.Allocation.from_json((path / "allocation.json").read_text())


def without_times(metrics):
    """Two measurements of one network differ in its latency only."""
    points = [{**point, "milliseconds": None} for point in metrics["anytime"]]
    return {**metrics, "anytime": points}


def test_a_run_leaves_the_files_of_the_design(finished_run):
    _, path, metrics = finished_run
    names = {str(p.relative_to(path)) for p in path.rglob("*") if p.is_file()}
    told = ("logs/", "figures/")
    assert {name for name in names if not name.startswith(told)} == {
        "config.json",
        "allocation.json",
        *(
            f"backup/epoch-{epoch:06d}/{name}"
            for epoch in (1, 2)
            for name in ("SHA256SUMS", "history.json", "state.weights.h5")
        ),
        "metrics.json",
        "model.keras",
    }
    assert read_json(path / "metrics.json") == metrics
    assert metrics["seed"] == 0 and metrics["epochs"] == 2
    names = "accuracy anytime brier budget_params diversity ece epochs "
    names += "independent_params members nll one_network search seconds seed "
    assert " ".join(sorted(metrics)) == names + "split trainable_parameters"
    assert metrics["split"] == "test[:100]"
    assert metrics["search"] is metrics["one_network"] is None
    assert [p["members"] for p in metrics["anytime"]] == [[0], [1], [0, 1]]


def test_evaluate_measures_the_same_on_data_elsewhere(finished_run, tmp_path):
    _, path, metrics = finished_run
    before = contents(path)
    found = evaluate.evaluate(path, data_dir=str(tmp_path))
    assert (tmp_path / "sklearn_digits").exists()
    for name, value in found.items():
        if isinstance(value, float):
            assert value == pytest.approx(metrics[name], rel=1e-4), name
    assert found["members"][1]["name"] == "second"
    other = evaluate.evaluate(path, split="train[:10]")
    assert (other["accuracy"] * 10) % 1 == pytest.approx(0, abs=1e-9)
    assert contents(path) == before


def test_the_logs_tell_every_epoch(finished_run):
    _, path, _ = finished_run
    history = read_json(path / "backup/epoch-000002/history.json")
    logged, images, texts = {}, set(), []
    for file in sorted(path.glob("logs/*/events*")):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                plugin = value.metadata.plugin_data.plugin_name
                if plugin == "images":
                    images.add((value.tag, event.step))
                elif plugin == "text":
                    texts.append(tf.make_ndarray(value.tensor).item().decode())
                else:
                    key = (file.parent.name, value.tag, event.step)
                    logged[key] = float(tf.make_ndarray(value.tensor))
    for epoch in (1, 2):
        for run, tag, name in (
            ("train", "ensemble/loss", "loss"),
            ("train", "member_1/accuracy", "member_1_accuracy"),
            ("validation", "member_0/loss", "val_member_0_loss"),
            ("validation", "ensemble/accuracy", "val_accuracy"),
        ):
            expected = history[name][epoch - 1]
            assert logged[run, tag, epoch] == pytest.approx(expected)
        assert ("train", "optimizer/learning_rate", epoch) in logged
    assert images >= {
        ("training/curves", 2),
        ("evaluation/reliability", 2),
        ("evaluation/anytime", 2),
        ("allocation/clusters", 0),
        ("allocation/parameters", 0),
    }
    # The same as files, the newest of each.
    assert {file.name for file in (path / "figures").iterdir()} == {
        tag.replace("/", "-") + ".png" for tag, _ in images
    }
    assert texts[0].split() == str(allocation_of(path)).split()


def test_killed_after_training_only_the_end_is_repeated(finished_run, tmp_path):
    config, _, metrics = finished_run
    copy = unfinished(finished_run, tmp_path)
    (copy / "model.keras").rename(copy / "unfinished-model.keras")
    again = train(config, copy)
    assert without_times(again) == without_times(metrics)
    network = keras.saving.load_model(copy / "model.keras")
    assert int(network.optimizer.iterations) == 2 * 4


def test_a_run_that_searches_leaves_its_evidence(searched_run):
    config, path, metrics = searched_run
    found = sorted(p.name for p in (path / "search").iterdir())
    assert found == [
        "SHA256SUMS",
        "allocation-start.json",
        "backup",
        "search.json",
        "similarities.npz",
    ]
    # The last epoch is in no backup: its record would be lost.
    (kept,) = (path / "search" / "backup").iterdir()
    assert kept.name == "epoch-000001"
    start = ksw.Allocation.from_json(
        (path / "search" / "allocation-start.json").read_text()
    )
    members = experiment.members(config)
    assert start == experiment.allocate(config, members)
    with np.load(path / "search" / "similarities.npz") as stored:
        matrices = {name: stored[name] for name in stored}
    rule = experiment.sharing(config)
    clusters = rule.start_clusters(start.members)
    assert {name: matrix.shape for name, matrix in matrices.items()} == {
        f"{c.name}{of}": (len(c.kernels),) * 2
        for c in clusters
        for of in ("", " coefficients")
    }
    # Kernels that share in the end are connected by similarities above tau.
    tau = metrics["search"]["tau"]
    for start_cluster in clusters:
        kernels = start_cluster.kernels
        linked = matrices[start_cluster.name] > tau
        for _ in kernels:
            linked = linked @ linked
        for cluster in allocation_of(path).clusters:
            inside = [kernels.index(k) for k in cluster if k in kernels]
            assert linked[np.ix_(inside, inside)].all() or tau == -1
    notes = read_json(path / "search" / "search.json")
    num_clusters = notes["tries"][-1]["num_clusters"]
    assert metrics["search"] == {
        "tau": notes["tries"][-1]["tau"],
        "beta": None,
        "num_clusters": num_clusters,
        "num_start_clusters": len(clusters),
    }
    assert len(allocation_of(path).clusters) == num_clusters
    histories = [notes["history"]]
    histories.append(read_json(path / "backup/epoch-000002/history.json"))
    assert all(len(history["seconds"]) == 2 for history in histories)
    seconds = sum(sum(history["seconds"]) for history in histories)
    assert metrics["seconds"] == pytest.approx(seconds)


def test_at_the_end_the_allocation_has_the_ties_of_the_network(searched_run):
    _, path, _ = searched_run
    network = keras.saving.load_model(path / "model.keras")
    found = allocation_of(path)
    assert found == network.allocation
    ties = [each.ties for each in found.superweights if each.ties]
    assert any(set(rows) != {0} for rows in ties)  # something has parted


def test_what_is_held_out_is_measured_and_then_the_test_split(searched_run):
    config, path, metrics = searched_run
    assert metrics["split"] == "validation"
    network = keras.saving.load_model(path / "model.keras")
    images = experiment.pipeline(config)

    def accuracy(batches):
        x, y = (np.concatenate(part) for part in zip(*batches, strict=True))
        return np.mean(network.predict(x, verbose=0).argmax(1) == y)

    assert metrics["accuracy"] == pytest.approx(accuracy(images.validation()))
    history = read_json(path / "backup/epoch-000002/history.json")
    assert history["val_accuracy"][-1] == pytest.approx(metrics["accuracy"])
    found = evaluate.evaluate(path)
    assert found["split"] == "test[:100]"
    assert found["accuracy"] == pytest.approx(accuracy(images.test()))
    table = evaluate.report.table
    assert table(metrics).split()[0] == "validation"
    assert table(found).split()[0] == "test[:100]"


def test_killed_at_its_end_a_search_is_not_done_again(searched_run, tmp_path):
    config, path, metrics = searched_run
    copy = unfinished(searched_run, tmp_path)
    shutil.rmtree(copy / "search" / "backup")
    again = train(config, copy)
    assert without_times(again) == without_times(metrics)
    assert not (copy / "search" / "backup").exists()


def test_what_was_measured_can_be_adopted_by_other_thresholds(
    searched_run, tmp_path
):
    """The search of a run that was adopted is as if it had measured itself."""
    config, path, _ = searched_run
    config = config.copy_and_resolve_references().unlock()
    config.search.tau, config.search.beta = -1.0, 0.2
    config.decouple.epoch = 0
    start = experiment.allocate(config, experiment.members(config))
    workdir = Workdir(tmp_path / "other")
    workdir.open(config)
    search.adopt(config, workdir, Workdir(path), start)
    found, seconds = search.search(config, workdir, None, start)
    expected = refine(found, experiment.sharing(config), -1.0, 0.2)
    assert found.allocation == expected.allocation
    assert found.tries == expected.tries and len(found.tries) == 1
    # Also the ties: not all kernels of a member are alike, nor none.
    parted = refine(found, experiment.sharing(config), -1.0, 1)
    assert found.allocation != parted.allocation
    notes = read_json(path / "search" / "search.json")
    assert seconds == sum(notes["history"]["seconds"])
    # It was another tau that the run itself had.
    assert notes["tries"] != read_json(workdir.search / "search.json")["tries"]
    # What is there is not replaced.
    before = contents(workdir.search)
    search.adopt(config, workdir, Workdir(tmp_path / "nothing"), start)
    assert contents(workdir.search) == before


def test_a_finished_run_is_not_trained_again(finished_run):
    config, path, metrics = finished_run
    before = contents(path)
    assert train(config, path) == metrics
    assert contents(path) == before


def test_killed_before_the_one_network_only_that_is_trained(
    tiny_config, tmp_path, no_figures, capsys
):
    tiny_config.one_network = True
    tiny_config.epochs = 1
    tiny_config.data.train_split = "train[:64]"
    tiny_config.members = tiny_config.members[:1]
    tiny_config.budget_params = 0.9
    path = tmp_path / "run"
    metrics = train(tiny_config, path)
    one = read_json(path / "one_network" / "metrics.json")
    assert metrics["one_network"] == one["members"][0]
    assert one["budget_params"] == metrics["budget_params"]
    assert one["trainable_parameters"] <= one["budget_params"]
    assert (one["split"], one["epochs"]) == (metrics["split"], 1)
    assert "one network" in evaluate.report.table(metrics)
    found = evaluate.evaluate(path / "one_network")
    assert found["accuracy"] == metrics["one_network"]["accuracy"]

    trained = contents(path / "backup")
    (path / "metrics.json").unlink()
    shutil.move(path / "one_network", tmp_path / "other")
    capsys.readouterr()
    again = train(tiny_config, path)
    assert capsys.readouterr().out.count("epoch 1/1") == 1
    assert contents(path / "backup") == trained
    assert again["one_network"] == metrics["one_network"]

    # One of another config is neither used nor replaced.
    (path / "metrics.json").unlink()
    edit_json(path / "one_network/config.json", lambda d: d.update(epochs=9))
    before = contents(path)
    with pytest.raises(ValueError, match="(?s)one_network.*epochs: 9 -> 1"):
        train(tiny_config, path)
    assert contents(path) == before


def test_starting_over_trains_anew(tiny_config, tmp_path, no_figures):
    tiny_config.one_network = True
    tiny_config.epochs = 1
    tiny_config.data.label_smoothing = 0.1
    tiny_config.data.train_split = "train[:64]"
    tiny_config.members = tiny_config.members[:1]
    tiny_config.budget_params = 1.0
    (tmp_path / "config.json").write_text('{"format": 1, "epochs": 99}')
    (tmp_path / "metrics.json").write_text("{}")
    shutil.copytree(tmp_path, tmp_path / "one_network")
    before = contents(tmp_path)
    with pytest.raises(ValueError, match="epochs: 99 -> 1"):
        train(tiny_config, tmp_path)
    assert contents(tmp_path) == before
    metrics = train(tiny_config, tmp_path, start_over=True)
    assert len(metrics["members"]) == 1 and metrics["diversity"] is None
    for path in (tmp_path, tmp_path / "one_network"):
        assert read_json(path / "config.json")["epochs"] == 1
    assert metrics["one_network"]["parameters"] <= metrics["budget_params"]
