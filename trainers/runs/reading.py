"""Reads files of a run; refuses what is missing, damaged or of another form.

Every refusal is a `ValueError` that names the file, what is wrong with it, and
what to do.
"""

import itertools
import json

from keras_superweights import files

REMEDY = "Put the file back, or discard the run with `--start_over`."
ELSEWHERE = "Put the file back, or choose another `--workdir`."
# In forms, what is a number for JSON.
NUMBER = int | float

_NAMES = {NUMBER: "a number", str: "text", int: "an integer"}
_NAMES |= {dict: "an object", list: "a list", type(None): "null"}
_NOTHING = object()


def read_json(path, form=object, remedy=REMEDY):
    """Reads a JSON file of a run.

    `form` says what it must hold: a type; a dict of forms by key, of which
    `...` stands for all others; a list with the form of all items; or a tuple
    of forms, one of which must fit. A missing key is `None`.

    Example:

    >>> read_json(path, {"seconds": [NUMBER], "beta": (NUMBER, type(None))})
    """
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(
            f"A run must keep its file {path}, as JSON. Received: "
            f"{type(error).__name__}: {error}. {remedy}"
        ) from error
    for misfit in _misfits(data, form, "its content"):
        raise ValueError(
            f"A run must keep its file {path} as it wrote it. Received: "
            f"{misfit}. {remedy}"
        )
    return data


def _misfits(data, form, place):
    """Yields what does not fit a form, as `place: value, not ...`."""
    if isinstance(form, tuple):
        if all(any(_misfits(data, one, place)) for one in form):
            yield from _misfits(data, form[0], place)
        return
    kind = type(form) if isinstance(form, (dict, list)) else form
    value = None if data is _NOTHING else data
    is_flag = isinstance(value, bool) and kind is not object
    if is_flag or not isinstance(value, kind):
        yield f"{place}: {_shown(data)}, not {_NAMES[kind]}"
    elif kind is form:
        return
    elif kind is list:
        for index, item in enumerate(data):
            yield from _misfits(item, form[0], f"{place}[{index}]")
    else:
        for key in form if ... not in form else {**data, **form}:
            if key is not ...:
                inner = form.get(key, form.get(...))
                value = data.get(key, _NOTHING)
                yield from _misfits(value, inner, f"{place}.{key}")


def check_sound(paths, remedy=REMEDY):
    """Refuses files of one directory that do not fit their checksums."""
    for path in files.damaged(paths):
        raise ValueError(
            f"{path} is damaged: it must be as the run has written it, by its "
            f"checksum in {files.CHECKSUMS} beside it. {remedy}"
        )


def check_unchanged(path, expected):
    """Refuses a file whose JSON is not what the run has come to."""
    changes = differences(read_json(path), expected, most=10)
    if changes:
        raise ValueError(
            f"{path} does not fit its run; it, or what it follows from, was "
            f"edited or damaged (what it holds -> what follows):\n{changes}\n"
            f"{REMEDY}"
        )


def differences(old, new, most=None):
    """Returns lines `place: old -> new` of plain data that differs, as text."""
    # As JSON returns them: lists for tuples.
    old, new = (json.loads(json.dumps(data)) for data in (old, new))
    return "\n".join(itertools.islice(_changes(old, new), most))


def _changes(old, new, place=""):
    """Yields lines `place: old -> new` of the smallest different parts."""
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            inner = f"{place}.{key}" if place else key
            yield from _changes(
                old.get(key, _NOTHING), new.get(key, _NOTHING), inner
            )
    elif (
        isinstance(old, list) and isinstance(new, list) and len(old) == len(new)
    ):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _changes(one, other, f"{place}[{index}]")
    else:
        yield f"  {place}: {_shown(old)} -> {_shown(new)}"


def _shown(value):
    text = "(not there)" if value is _NOTHING else json.dumps(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
