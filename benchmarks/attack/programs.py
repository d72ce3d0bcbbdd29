"""Bad command lines: values of keys and flags, config files, directories.

Add a value to a table. `{place}` in an argument is the case's own directory,
where `_furnish` puts what it may point to; `{run}` is that of a finished run.
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

# Of `--config.KEY=`, tried by `trainers.train`.
KEYS = {
    "data.name": ("no_such_set",),
    "data.train_split": ("nothing", "train[", "train[:0]"),
    "data.test_split": ("validation",),
    "data.validation_fraction": ("-0.1", "1.0", "nan", "a"),
    "data.label": ("nothing",),
    "data.size": ("0", "-1", "a"),
    "data.batch_size": ("0", "-1", "1.5", "a", "100000"),
    "data.crop": ("square",),
    "data.pad": ("-1", "a"),
    "data.flip": ("maybe",),
    "data.cutout": ("-1",),
    "data.mixup": ("-1.0", "nan", "inf"),
    "data.cutmix": ("-1.0", "nan"),
    "data.label_smoothing": ("-0.1", "1.0", "nan"),
    "members": (
        "5",
        "()",
        "(5,)",
        "({},)",
        "(",
        "({'model': 'no_such'},)",
        "({'model': 'wide_resnet', 'depth': 10},)",
        "({'model': 'wide_resnet', 'depth': 11, 'width': 1},)",
        "({'model': 'wide_resnet', 'depth': 10, 'width': 0},)",
        "({'model': 'wide_resnet', 'depth': 10, 'width': 'a'},)",
        "({'model': 'wide_resnet', 'depth': 10, 'width': 1, 'no': 1},)",
    ),
    "budget_params": ("0", "-1", "nan", "inf", "a", "1e-9", "100.5"),
    "sharing.rule": ("NoSuch", "os:path", "no_such:Rule"),
    "sharing.clusters": ("colour", "3"),
    "sharing.no_such": ("3",),
    "one_network": ("maybe",),
    "search.pretrain_epochs": ("-1", "1.5", "a"),
    "search.tau": ("2.0", "nan", "a"),
    "search.beta": ("2.0", "nan", "a"),
    "search.sketch_size": ("1", "-1", "a"),
    "decouple.epoch": ("-1", "99", "a"),
    "decouple.beta": ("2.0", "nan"),
    "decouple.every": ("-1",),
    "optimizer.learning_rate": ("-1.0", "nan", "inf", "a"),
    "optimizer.momentum": ("2.0", "-1.0", "nan"),
    "optimizer.nesterov": ("maybe",),
    "optimizer.schedule": ("sometimes",),
    "optimizer.drop_epochs": ("(1,)", "5", "('a',)"),
    "optimizer.drop_factor": ("0.2", "nan"),
    "optimizer.warmup_epochs": ("-1", "99"),
    "optimizer.weight_decay": ("-1.0", "nan", "inf"),
    "epochs": ("0", "-1", "1.5", "a"),
    "seed": ("-1", "1.5", "a"),
    "strategy": ("no_such", "mirrored"),
    "num_cpus": ("-1", "3", "a"),
    "deterministic": ("maybe",),
    "precision": ("float17",),
    "jit_compile": ("maybe", "True"),
    "no_such": ("3",),
    "data.no_such": ("3",),
}
# Of a file given as `--config`.
CONFIGS = {
    "syntax": "def get_config(:",
    "empty": "",
    "no_function": "x = 1",
    "no_import": "import no_such_module",
    "nothing": "def get_config():\n    return None",
    "number": "def get_config():\n    return 3",
    "another": "from ml_collections import ConfigDict\n"
    "def get_config():\n    return ConfigDict({'a': 1})",
    "binary": "\x00\x01",
}
_PLACES = ("{place}/file", "{place}/file/inside", "{place}/foreign", "")
_TRAIN = (*RUN, "--config.data.data_dir={digits}")
_TUNE = (
    *_TRAIN,
    f"--space={ROOT}/configs/space.py",
    "--space.num_members=(2,)",
    "--trials=1",
)
_STUDY = (*_TRAIN, "--study=tau")
_PLAN = ("--model=keras_superweights.models:vgg11", "--budget_params=0.5")
_RULED = (*_PLAN, "--rule=Shapeshifter")
_NEW = "--workdir={place}/new"
_RUN = "--workdir={run}"
# `(program, valid arguments, {flag: bad values})`
FLAGS = (
    ("train", (*_TRAIN, _NEW), {"start_over": ("maybe",), "no_such": ("3",)}),
    ("train", _TRAIN, {"workdir": (*_PLACES, "{tuned}", "/proc/none")}),
    ("train", (_NEW,), {"config": ("", "{place}", "{place}/no.py", "no")}),
    ("train", (_NEW,), {"config": (f"{ROOT}/configs/digits.py:no",)}),
    (
        "tune",
        (*_TUNE, _NEW),
        {
            "algorithm": ("no_such",),
            "objective": ("no_such", "val_member_9_loss"),
            "trials": ("0", "-1", "a", "1.5"),
            "space": ("{place}", "{place}/no.py", f"{ROOT}/configs/digits.py"),
            "space.tau": ("(2.0, 3.0)", "(0.5, 0.1)", "(0.1,)", "3", "a"),
            "space.budget_params": ("(0.5, 1000)", "(-1.0, 1.0)"),
            "space.depth_bins": ("(0,)", "()", "('a',)"),
            "space.num_members": ("(0,)",),
            "space.members": ("5", "()", "(5,)"),
            "space.no_such": ("3",),
            "no_such": ("3",),
        },
    ),
    ("tune", _TUNE, {"workdir": (*_PLACES, "{run}")}),
    (
        "sensitivity",
        (*_TRAIN, _NEW),
        {"study": ("no_such", ""), "no_such": ("3",)},
    ),
    (
        "sensitivity",
        (*_STUDY, _NEW),
        {"values": ("a", "nan", "5", "-2")},
    ),
    (
        "sensitivity",
        (*_TRAIN, "--study=budget", _NEW),
        {"values": ("0", "-1", "nan", "1e-9")},
    ),
    ("sensitivity", _STUDY, {"workdir": (*_PLACES, "{run}", "{tuned}")}),
    ("evaluate", (), {"workdir": (*_PLACES, "{place}/new", "{tuned}")}),
    (
        "evaluate",
        (_RUN,),
        {
            "split": ("no_such", "test["),
            "data_dir": ("{place}/file",),
            "interpolation": ("1", "-1", "a"),
            "corruptions": ("no_such", "all,no"),
            "no_such": ("3",),
        },
    ),
    ("export", (), {"workdir": (*_PLACES, "{place}/new", "{tuned}")}),
    (
        "export",
        (_RUN,),
        {
            "formats": ("no_such", "keras,no_such"),
            "output": ("{place}/file", "{place}/file/inside"),
            "no_such": ("3",),
        },
    ),
    ("plan", (), {"config": ("{place}", "no"), "model": ("no_such",)}),
    (
        "plan",
        ("--budget_params=0.5", "--rule=Shapeshifter"),
        {"model": ("os", "os:no", "os:getcwd", "no:no", "os:sep", ":")},
    ),
    ("plan", _PLAN, {"rule": ("no_such", "os:getcwd", "")}),
    (
        "plan",
        ("--model=keras_superweights.models:vgg11", "--rule=Shapeshifter"),
        {"budget_params": ("0", "-1", "nan", "inf", "a", "1e-9")},
    ),
    (
        "plan",
        _RULED,
        {
            "model_arguments": ("{", "[]", '{"no": 1}', '{"name": 3}'),
            "rule_arguments": ("3", '{"no": 1}', '{"max_templates": 0}'),
            "optimizer": ("no_such",),
            "optimizer_arguments": ("[]", '{"no": 1}'),
            "precision": ("float17",),
            "workers": ("0", "-1", "a"),
            "json": ("{place}/file/inside", "{place}"),
            "config": (f"{ROOT}/configs/digits.py",),
            "no_such": ("3",),
        },
    ),
)
# Without flags that are needed, and with words that are no flags.
LINES = tuple(
    (program, arguments)
    for program in ("train", "tune", "sensitivity", "evaluate", "export")
    for arguments in ((), (_RUN, "word"))
) + (("plan", ()), ("plan", ("word",)))


def answers(directory, seed):
    """Yields the `Answer`s; makes a run and a tuning in a directory."""
    named = {name: directory / name for name in ("digits", "run", "tuned")}
    finish("train", _filled((*_TRAIN, _RUN), named))
    finish("tune", _filled((*_TUNE, "--workdir={tuned}"), named))
    for program, arguments, told in _lines():
        with tempfile.TemporaryDirectory() as place:
            place = pathlib.Path(place)
            fill = {"place": place, "digits": named["digits"]}
            for name in ("run", "tuned"):
                fill[name] = place / name
                if any(f"{{{name}}}" in argument for argument in arguments):
                    shutil.copytree(named[name], fill[name])
            _furnish(place)
            before = contents(place)
            status, errors = run(program, _filled(arguments, fill), place)
            shown = " ".join(a for a in arguments if a not in _TUNE)
            case = Case(f"{program} {shown}", None, told)
            yield judge_end(case, place, status, errors, before)


def _lines():
    """Yields `(program, arguments, words of the error)`."""
    for key, values in KEYS.items():
        flag = f"--config.{key}="
        # A tuple that is given twice is both.
        others = [each for each in _TRAIN if not each.startswith(flag)]
        *_, last = key.split(".")
        for value in values:
            told = (last, "width", "depth")  # the last two of members
            yield "train", (*others, _NEW, flag + value), told
    for name in CONFIGS:
        for program in ("train", "plan"):
            line = ("--config={place}/" + name + ".py",)
            if program == "train":
                line += (_NEW,)
            yield program, line, ("config",)
    for program, valid, flags in FLAGS:
        for flag, values in flags.items():
            *_, last = flag.split(".")
            for value in values:
                yield program, (*valid, f"--{flag}={value}"), (last,)
    for program, line in LINES:
        yield program, line, ("flag", "argument", "--")


def _furnish(place):
    (place / "file").write_text("a file")
    (place / "foreign").mkdir()
    (place / "foreign" / "notes.txt").write_text("somebody's")
    for name, text in CONFIGS.items():
        (place / f"{name}.py").write_text(text)


def _filled(arguments, fill):
    """Fills in `{place}` and its like; other braces are the argument's."""
    filled = []
    for argument in arguments:
        for name, path in fill.items():
            argument = argument.replace(f"{{{name}}}", str(path))
        filled.append(argument)
    return filled
