"""Checks of arguments: `TypeError` for a type, `ValueError` for a value."""

import dataclasses
import functools
import math
import numbers
import os
import types
import typing

# The most characters that an error shows of what it refuses.
_LINE = 200


def quoted(value) -> str:
    """Returns a value as text for an error: one line, shortened if long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= _LINE else f"{text[: _LINE - 3]}..."


def is_integer(value) -> bool:
    """Whether a value is an integer; a bool is none."""
    return type(value) is int or (
        isinstance(value, numbers.Integral) and not isinstance(value, bool)
    )


def is_number(value) -> bool:
    """Whether a value is a real number; a bool is none."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def check_type(argument: str, value, is_right: bool, expected: str):
    """Raises a `TypeError` unless a value is right."""
    if not is_right:
        raise TypeError(
            f"`{argument}` must be {expected}. Received: "
            f"{argument}={quoted(value)} of type {type(value).__name__}."
        )


def check_path(argument: str, value):
    """Raises an error unless the value is a path."""
    is_path = isinstance(value, (str, os.PathLike))
    check_type(argument, value, is_path, "a path: a string or a `pathlib.Path`")


def check_bool(argument: str, value):
    """Raises an error unless the value is True or False."""
    check_type(argument, value, isinstance(value, bool), "True or False")


def check_integer(argument: str, value, least: int = 1, most=math.inf):
    """Raises an error unless the value is an integer in a range."""
    kind = "a positive integer"
    if least != 1 or most < math.inf:
        kind = f"an integer {_range(least, most)}"
    check_type(argument, value, is_integer(value), kind)
    if not least <= value <= most:
        raise ValueError(
            f"`{argument}` must be {kind}. Received: {argument}={value}."
        )


def check_number(argument: str, value, least=0, most=math.inf, below=math.inf):
    """Raises an error unless the value is a finite number in a range."""
    kind = f"a finite number {_range(least, most, below)}"
    check_type(argument, value, is_number(value), kind)
    if not least <= value <= most or not value < below:
        raise ValueError(
            f"`{argument}` must be {kind}. Received: {argument}={value}."
        )


def _range(least, most, below=math.inf) -> str:
    if most < math.inf:
        return f"from {least} to {most}"
    end = f" and below {below}" if below < math.inf else ""
    return f"of at least {least}{end}"


def check_choice(argument: str, value, choices):
    """Raises an error unless the value is one of the choices."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(
            f"`{argument}` must be one of {tuple(choices)}. Received: "
            f"{argument}={quoted(value)}."
        )


def as_tuple(argument: str, value, kind: type, expected: str) -> tuple:
    """Returns a list of values of a class, or a single one, as a tuple."""
    values = [value] if isinstance(value, kind) else value
    is_right = isinstance(values, (list, tuple)) and all(
        isinstance(each, kind) for each in values
    )
    check_type(argument, value, is_right, expected)
    return tuple(values)


def check_rows(argument: str, rows, keys=()):
    """Raises an error unless the value is a list of dicts with these keys."""
    is_list = isinstance(rows, (list, tuple))
    keys = list(keys)
    check_type(
        argument,
        rows,
        is_list
        and all(isinstance(r, dict) and r.keys() >= set(keys) for r in rows),
        f"a list of dicts with the keys {keys}",
    )


def check_fields(data):
    """Raises an error unless a dataclass has fields of the types declared."""
    values = vars(data)
    for name, hint, fits in _fields(type(data)):
        if not fits(values[name]):
            kind = hint.__name__ if isinstance(hint, type) else hint
            raise TypeError(
                f"`{name}` must be of type {kind}. Received: "
                f"{name}={quoted(values[name])} for {type(data).__name__}."
            )


@functools.cache
def _fields(kind):
    try:
        hints = typing.get_type_hints(kind)
    except NameError:  # text that names what only the class's author sees
        hints = {}
    return [
        (field.name, hint, _fitting(hint))
        for field in dataclasses.fields(kind)
        if (hint := hints.get(field.name))
    ]


def _fitting(hint):
    """Returns a function that says whether a value has a type."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        choices = list(map(_fitting, inner))
        return lambda value: any(fits(value) for fits in choices)
    if origin is tuple and inner[1:] == (...,):
        fits = _fitting(inner[0])
        return lambda value: isinstance(value, tuple) and all(map(fits, value))
    if origin is type:
        return lambda value: (
            isinstance(value, type) and issubclass(value, inner)
        )
    if hint in (int, float):
        return is_integer if hint is int else is_number
    if isinstance(hint, type):
        return lambda value: isinstance(value, hint)
    return lambda value: True
