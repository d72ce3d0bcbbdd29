"""Spaces of tuning, as pure data: budgets, thresholds, members."""

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import fields

from keras_superweights.allocation.specs import is_fraction
from keras_superweights.arguments import check_number

_LOG_RANGES = ("budget_params", "learning_rate")
_RANGES = (*_LOG_RANGES, "tau", "beta")


@dataclass(frozen=True, kw_only=True)
class Space:
    """Ranges and choices of trials; other settings are not varied.

    Ranges `(low, high)` of equal ends and single choices fix a value.

    Args:
        budget_params: Range of the budget, on a log scale: fractions of the
            members' scalars without sharing, or, above 100, counts.
        learning_rate: Range of the learning rate, on a log scale.
        tau: Range of the threshold that decides clusters, inside [-1, 1].
        beta: Range of the threshold that decides ties, inside [-1, 1].
        depth_bins: Numbers of depth bins to choose from.
        max_templates: Largest numbers of templates in a bank to choose from.
        num_members: Numbers of members to choose from. Each member is then
            one of the candidates that `declare` is given.

    Raises:
        TypeError: If a range or a choice is not of numbers.
        ValueError: If one is empty or out of bounds, or nothing is given.

    Example:

    >>> space = Space(budget_params=(0.2, 0.8), depth_bins=(1, 2, 4))
    >>> space.names
    ('budget_params', 'depth_bins')
    >>> space.settings({"budget_params": 0.2345678, "depth_bins": 2})
    {'budget_params': 0.2346, 'depth_bins': 2}
    """

    budget_params: Sequence[float] | None = None
    learning_rate: Sequence[float] | None = None
    tau: Sequence[float] | None = None
    beta: Sequence[float] | None = None
    depth_bins: Sequence[int] | None = None
    max_templates: Sequence[int] | None = None
    num_members: Sequence[int] | None = None

    def __post_init__(self):
        if not self.names:
            known = [field.name for field in fields(self)]
            raise ValueError(
                f"A space must vary something. Received: none of {known}."
            )
        for name in self.names:
            values = getattr(self, name)
            if name in _RANGES:
                _check_range(name, values)
            else:
                _check_choices(name, values)

    @property
    def names(self) -> tuple[str, ...]:
        """What is varied, in the order of the arguments."""
        return tuple(
            field.name
            for field in fields(self)
            if getattr(self, field.name) is not None
        )

    def declare(self, hp, candidates: Sequence[str] = ()):
        """Declares the hyperparameters of the space.

        They are named like the arguments; with `num_members` there are also
        `member_0`, `member_1`, ..., each active if there are so many members.
        The defaults are the smallest values, in the largest budget.

        Args:
            hp: A `keras_tuner.HyperParameters`.
            candidates: Names of what each member may be.

        Raises:
            ValueError: If only one of candidates and `num_members` is given.
        """
        if bool(candidates) != (self.num_members is not None):
            raise ValueError(
                "`num_members` and what the members may be must be given "
                f"together. Received: num_members={self.num_members} and "
                f"{len(candidates)} candidates."
            )
        for name in self.names:
            values = getattr(self, name)
            if name in _RANGES:
                low, high = map(float, values)
                hp.Float(
                    name,
                    low,
                    high,
                    sampling="log" if name in _LOG_RANGES else "linear",
                    default=high if name == "budget_params" else low,
                )
            else:
                hp.Choice(name, sorted(values), default=min(values))
        for index in range(max(self.num_members or (0,))):
            hp.Choice(
                f"member_{index}",
                list(candidates),
                parent_name="num_members",
                parent_values=[n for n in self.num_members if n > index],
            )

    def settings(self, values) -> dict:
        """Converts the values of hyperparameters to settings.

        Args:
            values: Dict from the name of a hyperparameter to its value, as
                `keras_tuner.HyperParameters.values`; others are ignored.

        Returns:
            A dict with the same names: numbers to four significant digits, a
            budget in scalars as an integer; and instead of the hyperparameters
            of members `"members"`, a tuple of candidates' names.
        """
        settings = {name: _rounded(values[name]) for name in self.names}
        if self.num_members is not None:
            settings["members"] = tuple(
                values[f"member_{index}"]
                for index in range(settings.pop("num_members"))
            )
        return settings


def _rounded(value):
    if isinstance(value, int):
        return value
    value = float(f"{value:.4g}")
    return value if is_fraction(value) else int(value)


def _check_range(name, values):
    if not _is_list_of(numbers.Real, values) or len(values) != 2:
        raise TypeError(
            f"`{name}` must be a range, two numbers (low, high). Received: "
            f"{name}={values!r}."
        )
    low, high = map(float, values)
    if not low <= high or not all(map(math.isfinite, values)):
        raise ValueError(
            f"`{name}` must be a range (low, high) with low <= high, both "
            f"finite. Received: {name}={values!r}, which is empty."
        )
    if name in ("tau", "beta"):
        check_number(name, low, least=-1, most=1)
        check_number(name, high, least=-1, most=1)
    elif low <= 0:
        raise ValueError(
            f"`{name}` is varied on a log scale and must be above 0. "
            f"Received: {name}={values!r}."
        )
    if name == "budget_params" and is_fraction(low) != is_fraction(high):
        raise ValueError(
            f"`{name}` must be a range of fractions, up to 100, or of numbers "
            "of scalars, above 100. "
            f"Received: {name}={values!r}."
        )


def _check_choices(name, values):
    if not _is_list_of(int, values):
        raise TypeError(
            f"`{name}` must hold the integers to choose from, such as "
            f"(1, 2, 4). Received: {name}={values!r}."
        )
    if not values or min(values) < 1 or len(set(values)) < len(values):
        raise ValueError(
            f"`{name}` must hold at least one integer to choose from, each at "
            f"least 1 and only once. Received: {name}={values!r}."
        )


def _is_list_of(kind, values):
    return isinstance(values, (tuple, list)) and all(
        isinstance(value, kind) and not isinstance(value, bool)
        for value in values
    )
