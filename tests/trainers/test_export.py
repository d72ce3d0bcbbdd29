"""A run's trained network, exported by the program."""

import shutil

import keras
import numpy as np
import pytest

import keras_superweights as ksw
from tests.trainers.files import run_program
from trainers.export import export
from trainers.phases.training import train


def test_a_finished_run_is_exported_and_stays_a_run(finished_run, tmp_path):
    config, finished, metrics = finished_run
    workdir = tmp_path / "run"
    shutil.copytree(finished, workdir)
    files = export(workdir, formats=["keras"])
    assert [file.path.relative_to(workdir).as_posix() for file in files] == [
        "export/member_0.keras",
        "export/member_1.keras",
        "export/ensemble.keras",
    ]
    network = keras.saving.load_model(workdir / "model.keras")
    plain = keras.saving.load_model(files[-1].path)
    inputs = np.random.default_rng(0).random(
        (4, *network.members[0].input_shape[1:])
    )
    np.testing.assert_allclose(
        plain.predict(inputs, verbose=0),
        network.predict(inputs, verbose=0),
        atol=1e-4,
    )
    assert train(config, workdir) == metrics


def test_the_program_prints_what_it_wrote_and_writes_it_once(tmp_path, capsys):
    workdir, output = tmp_path / "run", tmp_path / "elsewhere"
    workdir.mkdir()
    member = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(8), keras.layers.Dense(3)]
    )
    ksw.SuperWeightNetwork(member).save(workdir / "model.keras")
    arguments = [f"--workdir={workdir}", f"--output={output}"]

    assert not run_program("export", *arguments, "--formats=keras,saved_model")
    lines = capsys.readouterr().out.splitlines()[-2:]
    assert [line.split()[0] for line in lines] == [
        str(output / "model.keras"),
        str(output / "model.saved_model"),
    ]
    assert all(f"{member.count_params():,}" in line for line in lines)
    assert [path.name for path in workdir.iterdir()] == ["model.keras"]

    again = run_program("export", *arguments, "--formats=litert,saved_model")
    assert again == 2
    assert "another directory, or delete" in capsys.readouterr().err
    assert not (output / "model.tflite").exists()


def test_without_a_network_nothing_is_written(tmp_path):
    for workdir in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ValueError, match=r"has no model\.keras"):
            export(workdir)
    assert list(tmp_path.iterdir()) == []
    inputs = keras.Input((6,))
    plain = keras.Model(inputs, keras.layers.Dense(3)(inputs))
    plain.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="`SuperWeightNetwork`"):
        export(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]
