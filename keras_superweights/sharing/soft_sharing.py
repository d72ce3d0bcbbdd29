"""SoftSharing: templates for layers of equal shape within one network."""

from dataclasses import dataclass

from keras_superweights.arguments import check_integer
from keras_superweights.sharing.clusters import shapes_in_members
from keras_superweights.sharing.rule import Rule
from keras_superweights.sharing.superweights import Nested


@dataclass(frozen=True)
class SoftSharing(Rule):
    """Shares among layers of equal kind and shape, within each network.

    Such layers of one member mix all templates of a common bank, each with
    its own coefficients (Savarese and Maire, "Learning Implicitly Recurrent
    CNNs Through Parameter Sharing", ICLR 2019). Members share nothing with
    each other. A layer unlike all others keeps a plain kernel.

    The authors' own networks ("SWRN" in NPAS; github.com/lolemacs/soft-sharing)
    leave the first block of each stage out, which is why they need at least
    33 % of the parameters of WRN-28-10, and 58 % of those of WRN-50-2 (NPAS,
    figure 4). Here that is `SoftSharing(exclude="*_block0_*")`; if the first
    blocks share too, 21 % and 31 % are enough.

    Args:
        max_templates: See `SuperWeights`.
        kinds, exclude, transforms: See `Rule`.

    Raises:
        ValueError: If `max_templates` is not a positive integer or None.

    Example:

    >>> from keras_superweights.allocation import KernelSpec
    >>> from keras_superweights.allocation import MemberSpec
    >>> shapes = {"stem": (3, 3, 3, 8), "a": (3, 3, 8, 8), "b": (3, 3, 8, 8)}
    >>> kernels = tuple(KernelSpec(0, *layer) for layer in shapes.items())
    >>> member = MemberSpec("net", kernels, other_params=10)
    >>> SoftSharing().allocate([member], 810).num_params  # 10+216 + 576+2
    804
    """

    max_templates: int | None = None

    def __post_init__(self):
        super().__post_init__()
        if self.max_templates is not None:
            check_integer("max_templates", self.max_templates)

    def plan(self, kernels, scalars):
        groups = [g for g in shapes_in_members(kernels) if len(g.kernels) > 1]
        return Nested(kernels, groups, self.max_templates).plan(scalars)
