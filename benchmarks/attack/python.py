"""Bad arguments over the whole public surface of `keras_superweights`.

A row of the tables in `building.py` and `measuring.py` is a callable and its
arguments, each with a valid value and the name of a kind of `kinds.py`. It is
called once for every bad value of every argument's kind, the other arguments
valid. Add a row for a callable, a kind for a new sort of argument, and to
`single` what fits no row.
"""

import contextlib
import pathlib

import numpy as np
import tensorflow as tf

import keras_superweights as ksw
from benchmarks.attack import building
from benchmarks.attack import measuring
from benchmarks.attack.given import Given
from benchmarks.attack.judging import Case
from benchmarks.attack.kinds import bad_values


def rows(given):
    """Returns `(name, callable, {argument: (valid value, kind)})`."""
    found = []

    def row(function, name=None, /, **arguments):
        module, *_ = function.__module__.removeprefix(
            "keras_superweights."
        ).partition(".")
        name = name or f"{module}.{function.__qualname__}"
        found.append((name, function, arguments))

    building.fill(row, given)
    measuring.fill(row, given)
    return found


def cases(directory, seed):
    """Yields the `Case`s; makes what is valid in a directory."""
    given = Given(directory)
    for name, function, arguments in rows(given):
        valid = {argument: value for argument, (value, _) in arguments.items()}
        with contextlib.chdir(directory):
            _call(function, valid)()  # a wrong row would prove nothing
        yield from bad_calls(name, function, arguments)
    for name, attempt, told in single(given):
        yield Case(name, attempt, told)


def bad_calls(name, function, arguments):
    """Yields the `Case`s of a row."""
    valid = {argument: value for argument, (value, _) in arguments.items()}
    for argument, (_, kind) in arguments.items():
        for bad in bad_values(kind):
            yield Case(
                f"{name}({argument}={_shown(bad)})",
                _call(function, valid | {argument: bad}),
                (argument[: max(4, len(argument) - 3)],),  # or its singular
            )


def _call(function, arguments):
    def call():
        result = function(**arguments)
        # A generator begins when it is asked.
        return next(result) if hasattr(result, "__next__") else result

    return call


def _shown(value):
    text = " ".join(repr(value).split())
    return text if len(text) <= 40 else f"{text[:37]}..."


def single(given):
    """Yields what fits no row: `(name, function, words of its error)`."""

    def spoilt(value):
        x = np.zeros((16, 4), "float32")
        x[5] = value
        return tf.data.Dataset.from_tensor_slices((x, np.arange(16) % 3)).batch(
            8
        )

    for value in (np.nan, np.inf):
        for function in (ksw.search.find_clusters, ksw.search.learn_stores):
            yield (
                f"{function.__name__} of images that are {value}",
                lambda function=function, value=value: function(
                    given.pair,
                    0.9,
                    spoilt(value),
                    pretrain_epochs=1,
                    verbose=0,
                ),
                ("loss", "data", "weight", "gradient"),
            )
        yield (
            f"export of weights that are {value}",
            lambda value=value: ksw.export.export_network(
                _filled(given.network(), value), "export", "keras"
            ),
            ("weight", "network"),
        )
    yield (
        "an allocation for other members",
        lambda: ksw.SuperWeightNetwork(
            given.member, allocation=given.allocation
        ),
        ("allocation",),
    )
    yield (
        "a budget and an allocation",
        lambda: ksw.SuperWeightNetwork(
            given.pair, 0.5, allocation=given.allocation
        ),
        ("allocation",),
    )
    yield (
        "export onto a file",
        lambda: ksw.export.export_network(
            given.network(), pathlib.Path(__file__), "keras"
        ),
        ("directory",),
    )


def _filled(network, value):
    network.generator.banks[0].store.assign(
        np.full(network.generator.banks[0].size, value)
    )
    return network
