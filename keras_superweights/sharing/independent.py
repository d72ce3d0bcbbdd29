"""Independent: nothing is shared."""

from collections.abc import Sequence
from dataclasses import dataclass

from keras_superweights.allocation.allocation import Allocation
from keras_superweights.allocation.specs import MemberSpec
from keras_superweights.sharing.budget import SMALLER
from keras_superweights.sharing.budget import refuse
from keras_superweights.sharing.budget import unused_note


@dataclass(frozen=True)
class Independent:
    """Every kernel its own: a deep ensemble, or the plain network.

    The baseline of the papers ("Deep Ensembles", SWN, Table 5). No layer
    is replaced, so that training is that of the same plain Keras models.
    """

    def allocate(
        self, members: Sequence[MemberSpec], budget_params: int
    ) -> Allocation:
        """The allocation that leaves every kernel to its layer.

        Raises:
            ValueError: If the budget is smaller than the members.
        """
        needed = sum(member.num_params for member in members)
        if budget_params < needed:
            refuse(budget_params, needed, self, members, hint=SMALLER)
        return Allocation(
            members=tuple(members),
            banks=(),
            superweights=(),
            budget_params=budget_params,
            sharing=str(self),
            note=unused_note((), (), budget_params - needed),
        )
