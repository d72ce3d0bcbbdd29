"""What every part of a generated kernel answers, whatever it is.

A SuperWeight has a geometry (where it lies) and a mixing (how templates become
one vector); kernels may have transforms (what happens to the vector before it
is the kernel). Each is a small frozen dataclass in a file of its own in
`keras_superweights.parts`: its arguments and their checks, the scalars that it
needs, and the Keras layer that it builds. Nobody asks a part what it is; who
needs to know something asks a question that all parts of its family answer.

A class that derives from one of the families below is known by its name from
then on: `Allocation.from_json` finds it.
"""

import dataclasses
from dataclasses import dataclass
from dataclasses import field

_CLASSES = {}


class Part:
    """Base of all parts: knows its subclasses, and writes itself as JSON."""

    def __init_subclass__(cls):
        super().__init_subclass__()
        known = _CLASSES.setdefault(cls.__name__, cls)
        if known.__module__ != cls.__module__:
            raise TypeError(
                "A part must have a name of its own, by which allocations are "
                f"read. Received: {cls.__module__}.{cls.__name__}, and "
                f"{known.__module__} has a class of that name."
            )
        _CLASSES[cls.__name__] = cls

    def to_data(self) -> dict:
        """The part as a dict, ready for JSON."""
        return {"class": type(self).__name__, **dataclasses.asdict(self)}

    @classmethod
    def from_data(cls, data: dict):
        """Reads what `to_data` returned, after JSON.

        Raises:
            ValueError: If the class is not known, or not of this family.
        """
        arguments = {name: as_tuples(value) for name, value in data.items()}
        name = arguments.pop("class")
        part = _CLASSES.get(name)
        if part in (None, cls) or not issubclass(part, cls):
            known = [n for n, c in _CLASSES.items() if issubclass(c, cls)]
            raise ValueError(
                f"`class` must name a {cls.__name__.lower()}: one of "
                f"{sorted(set(known) - {cls.__name__})}, or one of your own "
                f"whose file is imported before. Received: {name!r}."
            )
        return part(**arguments)


class Geometry(Part):
    """Where a SuperWeight lies in the kernels that it serves.

    Attributes:
        serves_any_shape: Of the class: whether the kernels served may be of
            any shape and kind, and so have to start at scales of their own.
    """

    serves_any_shape = False

    @property
    def size(self) -> int:
        """Scalars in the SuperWeight, and in each of its templates."""
        raise NotImplementedError

    def check(self, kernels):
        """Raises an error if these kernels cannot be served.

        Args:
            kernels: The `KernelSpec`s.
        """

    def covers(self, kernel, geometries, size) -> bool:
        """Whether geometries, this one the first, make up a kernel.

        Args:
            kernel: The `KernelSpec`.
            geometries: Those of all SuperWeights that serve it.
            size: Scalars that they have to make: those of the kernel, or what
                its first transform takes.
        """
        raise NotImplementedError

    def assembler(self, kernel, geometries):
        """Plans how vectors become a kernel.

        Args:
            kernel: The `KernelSpec`.
            geometries: As for `covers`.

        Returns:
            A function from the list of the SuperWeights' vectors to a tensor.
        """
        raise NotImplementedError

    def boxes(self, kernels) -> list:
        """The boxes common to any two of the kernels that meet this.

        Args:
            kernels: The `KernelSpec`s that the SuperWeight serves.
        """
        return [None]

    def common_box(self, one, other):
        """The box that two kernels have in common, as one of `boxes`."""
        return None

    def clip(self, box):
        """What of this lies inside a box; equal for boxes that clip alike."""
        return None

    def crop(self, rows, box):
        """The scalars inside a box, of vectors `(n, size)`."""
        return rows


class Mixing(Part):
    """How the templates of a SuperWeight become one vector per kernel.

    Attributes:
        mixes: Of the class: whether each kernel has a vector of its own.
        ties: For each kernel, the row of coefficients that it uses, as a
            position among the kernels; empty where nothing can be tied.
    """

    mixes = True
    ties = ()

    def with_ties(self, ties) -> "Mixing":
        """The same mixing with other ties."""
        if tuple(ties):
            raise ValueError(
                f"{type(self).__name__} has no coefficients to tie. Received: "
                f"ties={tuple(ties)}."
            )
        return self

    def check(self, num_kernels, num_templates):
        """Raises an error unless it can serve so many kernels.

        Args:
            num_kernels: Kernels served.
            num_templates: Templates that are mixed.
        """

    def num_scalars(self, num_kernels, num_templates) -> int:
        """Trainable scalars that mixing needs, for all kernels, tied or not."""
        return 0

    def templates_of(self, row, num_templates) -> tuple[int, ...]:
        """The templates that a row of coefficients mixes."""
        return tuple(range(num_templates))

    def layer(self, norms, num_templates, **kwargs):
        """The Keras layer that mixes; None where there is nothing to mix.

        Args:
            norms: For each kernel, what its standard deviation is to be
                divided by that of the templates.
            num_templates: Templates that are mixed.
            **kwargs: As for `keras.layers.Layer`.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Transform(Part):
    """What happens to a mixed vector, or kernel, before its layer reads it.

    Args:
        kernels: Indices of the kernels that it is for. Left empty for a
            transform that a rule is given: the rule says which.

    Attributes:
        noun: Of the class: what its scalars are, in tables and figures.
    """

    noun = "scalars of transforms"

    kernels: tuple[int, ...] = field(default=(), repr=False)

    def check(self, kernels):
        """Raises an error if it cannot be for these `KernelSpec`s."""

    def input_size(self, kernel) -> int:
        """Scalars that it takes to make a kernel."""
        return kernel.size

    def num_scalars(self, kernel) -> int:
        """Trainable scalars that it needs for one kernel."""
        return 0

    def variance_kept(self, kernel) -> float:
        """What it makes of the variance of what it takes, as a factor."""
        return 1.0

    def num_kept(self, kernel) -> int:
        """Scalars that a training step keeps for its gradients."""
        return 0

    def label(self, kernel) -> str:
        """What it does, in figures: `"upsampled"`; empty if not shown."""
        return ""

    def layer(self, kernel, **kwargs):
        """The Keras layer whose `transform` makes the kernel.

        Args:
            kernel: The `KernelSpec`.
            **kwargs: As for `keras.layers.Layer`.
        """
        raise NotImplementedError


def as_tuples(value):
    """Lists as tuples, all the way down: JSON has no tuples."""
    if isinstance(value, list):
        return tuple(map(as_tuples, value))
    return value
