"""The README's snippets run as pasted, one after the other."""

import pathlib
import re


def test_the_snippets_run_as_pasted(tmp_path, monkeypatch, capsys):
    readme = pathlib.Path(__file__).parents[1] / "README.md"
    blocks = re.findall(r"```python\n(.*?)```", readme.read_text(), re.DOTALL)
    assert len(blocks) == 4
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "data"))
    names = {}
    for block in blocks:
        exec(compile(block, str(readme), "exec"), names)
    printed = capsys.readouterr().out
    assert "trainable scalars of a budget of" in printed
    assert "(64, 8, 8, 1) (64,)" in printed
    assert len(names["plain"]) == 2
    assert (tmp_path / "ensemble.keras").exists()
    assert names["network"].allocation.clusters
    assert list((tmp_path / "logs").iterdir())
    assert names["slim"].allocation.num_params == 5286  # as the text says
    assert (tmp_path / "parameters.png").exists()
