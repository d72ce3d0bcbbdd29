"""The README's snippet runs as pasted."""

import pathlib
import re


def test_the_quickstart_runs_as_pasted(tmp_path, monkeypatch, capsys):
    readme = pathlib.Path(__file__).parents[1] / "README.md"
    blocks = re.findall(r"```python\n(.*?)```", readme.read_text(), re.DOTALL)
    assert blocks
    monkeypatch.chdir(tmp_path)
    for block in blocks:
        names = {}
        exec(compile(block, str(readme), "exec"), names)
        assert [model.name for model in names["plain"]]
        assert (tmp_path / "ensemble.keras").exists()
    assert "trainable scalars of a budget of" in capsys.readouterr().out
