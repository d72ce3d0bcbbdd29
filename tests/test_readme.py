"""The README's snippets run one after the other, in fewer steps."""

import pathlib
import re

import tensorflow as tf

from keras_superweights.callbacks import inspector


def test_the_snippets_run(tmp_path, monkeypatch, capsys, eager):
    readme = pathlib.Path(__file__).parents[1] / "README.md"
    text, count = re.subn(r"\b256\b(?=, 28|\) % 10)", "64", readme.read_text())
    assert count == 2
    text = text.replace("    batch_size=64,\n", "    batch_size=512,\n")
    assert text.count("=512,") == 1
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 9
    monkeypatch.chdir(tmp_path)
    # Half of the time; `tests/callbacks` draws them all.
    monkeypatch.setattr(inspector, "_write_images", lambda *_: None)
    names = {}
    for block in blocks:
        # To trace a few steps takes longer than they do.
        tf.config.run_functions_eagerly(".fit(" in block)
        exec(compile(block, str(readme), "exec"), names)
    assert "trainable scalars of a budget of" in capsys.readouterr().out
    assert len(names["plain"]) == 2
    assert (tmp_path / "ensemble.keras").exists()
    assert names["network"].history.epoch == [0, 1]
    assert names["found"].allocation.clusters
    assert list((tmp_path / "logs").iterdir())
    assert names["slim"].allocation.num_params == 5286  # as the text says
    assert (tmp_path / "parameters.png").exists()
    assert names["network"].calibration is names["temperature"]
