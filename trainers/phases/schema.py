"""The keys of a config and the types of their values: those of configs/base.

Values are checked where they are used, see `experiment.check`.
"""

from ml_collections import ConfigDict

from configs import base

_NAMES = {int: "an integer", float: "a number", str: "a string"}
_NAMES |= {bool: "True or False", tuple: "a tuple"}
# Keys that may be None where their default is not.
_OPTIONAL = {"config.search.beta"}
# Their keys are the arguments of what they name.
ARGUMENTS = {
    "config.sharing",
    "config.ensemble",
    "config.optimizer.arguments",
}


def check(config):
    """Refuses a config with an unknown or missing key, or a wrong type."""
    _check_section("config", config, base.get_base())


def _check_section(name, section, expected):
    check_keys(name, section, expected, expected)
    for key in expected:
        path, value = f"{name}.{key}", section[key]
        kind = expected.get_type(key)
        if kind is not ConfigDict:
            optional = expected[key] is None or path in _OPTIONAL
            if not (value is None and optional):
                _check_type(path, value, kind)
        elif not isinstance(value, ConfigDict):
            raise ValueError(
                f"`{path}` must be a section with the keys "
                f"{sorted(expected[key])}. Received: {value!r}."
            )
        elif path not in ARGUMENTS:
            _check_section(path, value, expected[key])


def _check_type(name, value, kind):
    accepted = {float: (int, float), tuple: (tuple, list)}.get(kind, kind)
    is_flag = isinstance(value, bool) and kind is not bool
    if is_flag or not isinstance(value, accepted):
        raise ValueError(
            f"`{name}` must be {_NAMES[kind]}. Received: {value!r}."
        )


def check_keys(name, section, known, required):
    """Refuses a section with unknown keys, or without those required."""
    unknown = sorted(set(section) - set(known))
    missing = sorted(set(required) - set(section))
    if unknown or missing:
        raise ValueError(
            f"`{name}` must have the keys {sorted(known)}, of which "
            f"{sorted(required)} are needed. Received: "
            f"{'unknown' if unknown else 'without'} "
            f"{', '.join(map(repr, unknown or missing))}."
        )


def check_choice(name, value, choices):
    """Refuses a value that is none of the choices."""
    if value not in choices:
        raise ValueError(
            f"`config.{name}` must be one of {sorted(choices)}. "
            f"Received: {value!r}."
        )
