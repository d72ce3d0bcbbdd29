"""Whose directory it is, and files that are whole or not there."""

import json

import pytest
from ml_collections import ConfigDict

from configs import base
from keras_superweights.files import replacing
from keras_superweights.files import write_json
from tests.trainers.files import contents
from trainers.runs.reading import check_unchanged
from trainers.runs.reading import read_json
from trainers.runs.workdir import Workdir


def config(**changes):
    values = {"epochs": 3, "data": {"name": "digits"}, "sizes": (1, 2)}
    return ConfigDict(values | changes)


def test_a_new_directory_is_made_and_keeps_the_config(tmp_path):
    workdir = Workdir(tmp_path / "a" / "b")
    workdir.check(config())
    assert not workdir.path.exists()
    workdir.open(config())
    assert json.loads(workdir.config.read_text()) == {
        "format": 1,
        "epochs": 3,
        "data": {"name": "digits"},
        "sizes": [1, 2],
    }
    before = contents(tmp_path)
    workdir.open(config())
    assert contents(tmp_path) == before


def test_a_key_that_came_later_is_at_its_default_in_older_runs(tmp_path):
    Workdir(tmp_path).open(config())
    Workdir(tmp_path).check(config(jit_compile=False))
    with pytest.raises(ValueError, match="jit_compile: false -> true"):
        Workdir(tmp_path).check(config(jit_compile=True))
    assert Workdir(tmp_path).read_config()["data"]["name"] == "digits"
    # A search that knew no beta did what None says; without one, it is at its
    # default too.
    for epochs, beta in ((0, 0.9), (2, None)):
        older = {"search": {"pretrain_epochs": epochs}}
        assert base.completed(older)["search"]["beta"] == beta
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(ValueError, match=r"its content: \[\], not an object"):
        Workdir(tmp_path).read_config()


@pytest.mark.parametrize(
    ("number", "told"), [("", "version 0.1.0"), ('"format": 2, ', "newer")]
)
def test_a_run_of_another_format_says_which_version_to_use(
    number, told, tmp_path
):
    text = f'{{{number}"epochs": 3}}'
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=f"this run.*{told}|This run.*{told}"):
        Workdir(tmp_path).check(config())
    assert (tmp_path / "config.json").read_text() == text


@pytest.mark.parametrize(
    "changed, told",
    [
        ({"epochs": 4}, "  epochs: 3 -> 4\n"),
        ({"sizes": (1,)}, r"  sizes: \[1, 2\] -> \[1\]\n"),
        ({"data": {"name": "x"}}, '  data.name: "digits" -> "x"\n'),
        ({"more": None}, r"  more: \(not there\) -> null\n"),
        ({"data": {}}, '  data.name: "digits" -> null\n'),
        ({"sizes": (1, 3)}, r"  sizes\[1\]: 2 -> 3\n"),
    ],
)
def test_another_config_is_refused_key_by_key(tmp_path, changed, told):
    Workdir(tmp_path).open(config())
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=told + ".*--start_over"):
        Workdir(tmp_path).open(config(**changed))
    assert contents(tmp_path) == before


@pytest.mark.parametrize("start_over", [False, True])
def test_a_directory_of_something_else_is_refused(tmp_path, start_over):
    (tmp_path / "thesis.tex").write_text("years of work")
    before = contents(tmp_path)
    with pytest.raises(ValueError, match="no config.json but thesis.tex"):
        Workdir(tmp_path).open(config(), start_over)
    assert contents(tmp_path) == before


def test_a_file_is_refused_and_what_a_kill_leaves_does_not_matter(tmp_path):
    (tmp_path / "unfinished-config.json").write_text("{")
    with pytest.raises(ValueError, match="must be a directory"):
        Workdir(tmp_path / "unfinished-config.json").open(config())
    Workdir(tmp_path).open(config())


def test_start_over_deletes_the_run_and_only_the_run(tmp_path):
    workdir = Workdir(tmp_path)
    workdir.open(config())
    for path in (workdir.model, workdir.metrics, workdir.allocation):
        path.write_text("old")
    for name in ("search", "backup", "logs", "figures"):
        (tmp_path / name / "deep").mkdir(parents=True)
    (tmp_path / "notes.txt").write_text("mine")
    workdir.open(config(epochs=9), start_over=True)
    assert set(contents(tmp_path)) == {workdir.config, tmp_path / "notes.txt"}
    assert read_json(workdir.config)["epochs"] == 9
    assert not workdir.backup.exists()


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "data.json"
    write_json(path, [1])
    with pytest.raises(KeyboardInterrupt), replacing(path) as unfinished:
        unfinished.write_text("[1, 2")
        raise KeyboardInterrupt
    assert json.loads(path.read_text()) == [1]
    write_json(path, [3])
    assert json.loads(path.read_text()) == [3]


@pytest.mark.parametrize("text", ["", "[1, 2", "\0\x81"])
def test_a_damaged_file_is_named(text, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(text, encoding="latin-1")
    for check in (read_json, lambda path: check_unchanged(path, {})):
        with pytest.raises(ValueError, match="config.json, as JSON"):
            check(path)
    path.unlink()
    with pytest.raises(ValueError, match="must keep.*config.json"):
        read_json(path)


def test_what_was_edited_is_named(tmp_path):
    path = tmp_path / "data.json"
    write_json(path, {"a": [{"b": 1}, {"b": 2}], "long": [0] * 1000})
    check_unchanged(path, {"a": [{"b": 1}, {"b": 2}], "long": [0] * 1000})
    with pytest.raises(ValueError, match=r"(?s)a\[1\].b: 2 -> 3\n") as error:
        check_unchanged(path, {"a": [{"b": 1}, {"b": 3}], "long": []})
    assert len(str(error.value)) < 800
