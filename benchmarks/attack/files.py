"""Damaged and foreign files, read by every program that reads them.

A row names a directory that programs have left (`run` is finished,
`unfinished` was killed just before its end, `searching` after its search), a
file in it, and the programs that read it. Each of the kinds of damage that fit
the file's name is tried for each of them; add a row for a file, and a function
to `_DAMAGE` for a kind.
"""

import pathlib
import shutil
import tempfile

from benchmarks.attack.judging import Case
from benchmarks.attack.judging import contents
from benchmarks.attack.judging import judge_end
from benchmarks.attack.processes import ROOT
from benchmarks.attack.processes import RUN
from benchmarks.attack.processes import finish
from benchmarks.attack.processes import run

_TRAIN = ("train", *RUN, "--config.data.data_dir={digits}")
_TUNE = (
    "tune",
    *_TRAIN[1:],
    f"--space={ROOT}/configs/space.py",
    "--space.num_members=(2,)",
    "--trials=1",
)
_STUDY = ("sensitivity", *_TRAIN[1:], "--study=tau", "--values=0.1")
_EVALUATE = ("evaluate",)
_MEASURE = ("evaluate", "--interpolation=2")
_EXPORT = ("export", "--formats=keras")
_BACKUP = "backup/epoch-000002"
ROWS = (
    ("run", "config.json", (_TRAIN, _EVALUATE)),
    ("run", "metrics.json", (_TRAIN, _MEASURE)),
    ("run", "model.keras", (_EVALUATE, _EXPORT)),
    ("unfinished", "allocation.json", (_TRAIN,)),
    ("unfinished", f"{_BACKUP}/state.weights.h5", (_TRAIN,)),
    ("unfinished", f"{_BACKUP}/history.json", (_TRAIN,)),
    ("unfinished", "search/search.json", (_TRAIN,)),
    ("unfinished", "search/allocation-start.json", (_TRAIN,)),
    ("unfinished", "search/similarities.npz", (_TRAIN,)),
    ("tuned", "search.json", (_TUNE,)),
    ("tuned", "tuner/oracle.json", (_TUNE,)),
    ("tuned", "tuner/trial_0/trial.json", (_TUNE,)),
    ("tuned", "trials/0/run/metrics.json", (_TUNE,)),
    ("studied", "results.json", (_STUDY,)),
    ("studied", "tau_0.1/metrics.json", (_STUDY,)),
    ("studied", "tau_0.1/config.json", (_STUDY,)),
)


def _cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flip(path):
    """Flips the highest bit of the byte in the middle."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x80
    path.write_bytes(data)


def _replace(path):
    path.unlink()
    path.mkdir()


def _text(text):
    return lambda path: path.write_text(text)


_DAMAGE = {
    "": {
        "cut": _cut,
        "emptied": _text(""),
        "zeroed": lambda path: path.write_bytes(bytes(path.stat().st_size)),
        "flipped": _flip,
        "a directory": _replace,
    },
    ".json": {
        text: _text(text)
        for text in ("{}", "[]", "null", "3", '{"a": [1]}', "[[]]", '"text"')
    }
    | {"deep": _text("[" * 100_000)},
}


def answers(directory, seed):
    """Yields the `Answer`s; makes what is damaged in a directory."""
    named = {
        name: directory / name
        for name in ("digits", "run", "unfinished", "tuned", "studied")
    }
    _make(named)
    for owner, file, programs in ROWS:
        suffix = pathlib.Path(file).suffix
        damages = _DAMAGE[""] | _DAMAGE.get(suffix, {})
        for damage, spoil in damages.items():
            for program, *arguments in programs:
                with tempfile.TemporaryDirectory() as place:
                    copy = pathlib.Path(place) / "copy"
                    shutil.copytree(named[owner], copy)
                    spoil(copy / file)
                    before = contents(copy)
                    line = _filled((*arguments, f"--workdir={copy}"), named)
                    status, errors = run(program, line, copy.parent)
                    told = (pathlib.Path(file).name,)
                    case = Case(f"{program}: {file} {damage}", None, told)
                    yield judge_end(case, copy, status, errors, before)


def _make(named):
    for name, (program, *arguments) in {
        "run": _TRAIN,
        "tuned": _TUNE,
        "studied": _STUDY,
    }.items():
        line = (*arguments, f"--workdir={named[name]}")
        finish(program, _filled(line, named))
    shutil.copytree(named["run"], named["unfinished"])
    (named["unfinished"] / "metrics.json").unlink()


def _filled(arguments, named):
    return [
        argument.replace("{digits}", str(named["digits"]))
        for argument in arguments
    ]
