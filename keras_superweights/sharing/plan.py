"""The decision of a rule: a place for every kernel that it may share."""

import collections
from collections.abc import Sequence

from keras_superweights.allocation.part import Geometry
from keras_superweights.allocation.part import Mixing
from keras_superweights.allocation.part import Transform
from keras_superweights.allocation.specs import KernelSpec
from keras_superweights.allocation.superweight import BankSpec
from keras_superweights.allocation.superweight import SuperWeight
from keras_superweights.arguments import check_type
from keras_superweights.arguments import is_integer
from keras_superweights.parts import Plain
from keras_superweights.parts import Region

# The advice of rules that need whole kernels.
SMALLER = "`Shapeshifter` works with less."


class TooSmallError(Exception):
    """A rule needs more scalars; see `Plan.require`."""

    def __init__(self, needed, kept, hint):
        super().__init__(f"{needed} scalars are needed.")
        self.needed = needed
        self.kept = kept
        self.hint = hint


class Plan:
    """Banks, the SuperWeights that read them, and private kernels.

    Kernels are named by their indices among those given to the rule.

    Args:
        private: Kernels left to their layers, which cost their size.
        reason: Why scalars may be left over, as the end of a sentence.

    Attributes:
        banks: List of `BankSpec`.
        superweights: List of `SuperWeight`.
        transforms: List of `Transform`, such as masks.
    """

    def __init__(
        self,
        private: Sequence[int] = (),
        reason: str = "nothing can use more",
    ):
        is_list = isinstance(private, Sequence) and all(
            map(is_integer, private)
        )
        expected = "a list of indices of kernels"
        check_type("private", private, is_list, expected)
        self.private = list(private)
        check_type("reason", reason, isinstance(reason, str), "text")
        self.reason = reason
        self.banks = []
        self.superweights = []
        self.transforms = []

    @staticmethod
    def require(needed: int, scalars: int, kept: int = 0, hint: str = ""):
        """Checks that a rule has the scalars that it needs.

        Args:
            needed: Scalars needed at least.
            scalars: Scalars given.
            kept: The part of `needed` that layers keep to themselves.
            hint: A sentence on what needs less.

        Raises:
            TooSmallError: If there are too few. `Rule.allocate` turns it into
                the error that names the smallest budget.
        """
        numbers = {"needed": needed, "scalars": scalars, "kept": kept}
        for argument, value in numbers.items():
            check_type(argument, value, is_integer(value), "an integer")
        if scalars < needed:
            raise TooSmallError(needed, kept, hint)

    def add_bank(self, name: str, size: int) -> int:
        """Adds a bank; returns its index, for `read`."""
        self.banks.append(BankSpec(name, size))
        return len(self.banks) - 1

    def read(
        self,
        bank: int,
        kernels: Sequence[int],
        geometry: Geometry,
        mixing: Mixing,
        num_templates: int = 1,
        first: int = 0,
    ):
        """Adds a SuperWeight that reads a bank; see `SuperWeight`."""
        arguments = tuple(kernels), geometry, mixing, num_templates, first
        self.superweights.append(SuperWeight(bank, *arguments))

    def add(
        self,
        name: str,
        kernels: Sequence[int],
        geometry: Geometry,
        mixing: Mixing,
        num_templates: int = 1,
    ):
        """Adds a SuperWeight, and a bank of just its templates."""
        bank = self.add_bank(name, num_templates * geometry.size)
        self.read(bank, kernels, geometry, mixing, num_templates)

    def transform(self, transform: Transform):
        """Adds a transform of kernels with SuperWeights."""
        self.transforms.append(transform)

    def give_banks(self, kernels: Sequence[KernelSpec]):
        """Gives private kernels banks of their own, at the same cost."""
        for index in self.private:
            kernel = kernels[index]
            name = f"{kernel.layer} of member {kernel.member}"
            self.add(name, [index], Region.of(kernel), Plain())
        self.private = []

    def cost(self, kernels: Sequence[KernelSpec]) -> int:
        """Returns the trainable scalars of the plan."""
        return (
            sum(bank.size for bank in self.banks)
            + sum(each.num_coefficients for each in self.superweights)
            + sum(
                transform.num_scalars(kernels[index])
                for transform in self.transforms
                for index in transform.kernels
            )
            + sum(kernels[index].size for index in self.private)
        )

    def check(self, rule, kernels: Sequence[KernelSpec], scalars: int):
        """Checks the plan of a rule against its kernels and scalars.

        Raises:
            ValueError: If a kernel has no place or two, an index is of no
                kernel, or the plan costs too much.
        """
        served = {k for each in self.superweights for k in each.kernels}
        transformed = {k for each in self.transforms for k in each.kernels}
        places = collections.Counter([*served, *self.private])
        every = {i: f"{i} ('{k.layer}')" for i, k in enumerate(kernels)}
        strange = (places.keys() | transformed) - every.keys()
        wrong = {
            "has no place for": every.keys() - places.keys(),
            "has twice": {i for i, times in places.items() if times > 1},
            "has places for indices that are none of": strange,
        }
        for says, indices in wrong.items():
            if indices:
                names = [every.get(i, str(i)) for i in sorted(indices)[:6]]
                raise ValueError(
                    "`plan` of a rule must have one place for each of the "
                    f"{len(kernels)} kernels that it is given: in "
                    "SuperWeights, or in `private`. Received: the plan of "
                    f"{rule} {says} kernels: {', '.join(names)}."
                )
        cost = self.cost(kernels)
        if cost > scalars:
            raise ValueError(
                "`plan` of a rule must cost no more than the scalars that it "
                f"is given. Received: the plan of {rule} costs {cost} of "
                f"{scalars}. Call `Plan.require` where they are too few."
            )
