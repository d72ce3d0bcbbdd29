"""Shapeshifter: any network with any number of parameters (NPAS)."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from keras_superweights.allocation.allocation import Allocation
from keras_superweights.allocation.allocation import all_kernels
from keras_superweights.allocation.specs import MemberSpec
from keras_superweights.allocation.superweight import UPSAMPLINGS
from keras_superweights.allocation.superweight import BankSpec
from keras_superweights.sharing.budget import refuse
from keras_superweights.sharing.dealing import View
from keras_superweights.sharing.dealing import cheapest_total
from keras_superweights.sharing.dealing import deal
from keras_superweights.sharing.dealing import in_proportion
from keras_superweights.sharing.dealing import largest_total
from keras_superweights.sharing.dealing import read
from keras_superweights.sharing.flat import flat
from keras_superweights.sharing.flat import joined
from keras_superweights.sharing.selection import SelectiveRule
from keras_superweights.sharing.selection import matches
from keras_superweights.sharing.selection import others_params

MIXINGS = ("wavg", "emb", "rr", "avg")

# NPAS, section 3.4.
PRETRAINING_TEMPLATES = 4


@dataclass(frozen=True)
class Shapeshifter(SelectiveRule):
    """Shares among layers of any shape and kind, within any budget.

    Parameters lie in stores, flat vectors. Every layer reads its store in its
    own shape: as up to `max_templates` templates, which it mixes; as a single
    one, which it uses as it is; or, where the store is smaller than the layer,
    upsampled (NPAS, section 3). So a budget may be a few thousandths of the
    network, or several times its size (SSN+, section 4.2): the network that
    `materialize()` returns has its own size either way.

    Each kernel starts with the variance that its layer needs, by a constant
    factor where it has no coefficients; the paper leaves that to batch
    normalization. Coefficients start orthogonal to those of the layers that
    mix the same templates.

    Args:
        mixing: How templates become a kernel. `"wavg"`: a sum weighted by
            learned coefficients. `"emb"`: a mean weighted by the softmax of
            a projection of a learned embedding of the layer. `"rr"`: one
            template, in turn. `"avg"`: their mean. Sections 3.2 and B.2.
        max_templates: The most templates that a layer mixes, `P` in the
            paper, which found 8 best for WRN-28-10 (table 11).
        upsampling: How a store becomes a larger kernel. `"mask"`: repeated,
            every copy but the first times a learned mask for windows of 9
            scalars. `"repeat"`: repeated. `"bilinear"`: interpolated.
            Sections 3.3 and B.4.
        stores: Which layers share a store. `"single"`: all. `"random"`: those
            that fall into one of `num_stores`. `"shape"`: those of one kind
            and shape. Or patterns, as of `fnmatch`, one a store: a layer
            belongs to the first that matches its path. Or a number for every
            kernel that is shared, in order, such as
            `keras_superweights.search.learn_stores` finds. Each store gets the
            share of the budget that its kernels have of all (section 3.4).
        num_stores: Number of stores where they are random, or learned by the
            training programs.
        seed: Seed of the random stores.
        kinds: See `SelectiveRule`.
        exclude: See `SelectiveRule`.

    Raises:
        ValueError: If an argument is not one of the above.

    Example:

    >>> from keras_superweights.allocation import KernelSpec
    >>> from keras_superweights.allocation import MemberSpec
    >>> kernels = tuple(KernelSpec(0, name, (3, 3, 8, 8)) for name in "ab")
    >>> member = MemberSpec("net", kernels, other_params=10)
    >>> Shapeshifter().allocate([member], 300).num_params
    300
    """

    mixing: str = "wavg"
    max_templates: int = 8
    upsampling: str = "mask"
    stores: str | tuple = "single"
    num_stores: int = 4
    seed: int = 0

    def __post_init__(self):
        super().__post_init__()
        for name, choices in (("mixing", MIXINGS), ("upsampling", UPSAMPLINGS)):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"`{name}` must be one of {choices}. Received: "
                    f"{name}={getattr(self, name)!r}."
                )
        for name, least in (
            ("max_templates", 1),
            ("num_stores", 1),
            ("seed", 0),
        ):
            value = getattr(self, name)
            if not _is_integer(value) or value < least:
                raise ValueError(
                    f"`{name}` must be an integer of at least {least}. "
                    f"Received: {name}={value!r}."
                )
        if isinstance(self.stores, (list, tuple)):
            object.__setattr__(self, "stores", tuple(self.stores))
        if not self._has_known_stores():
            raise ValueError(
                '`stores` must be "single", "random", "shape", a list of '
                "patterns, or a list of integers, one for each kernel that is "
                f"shared. Received: stores={self.stores!r}."
            )

    def _has_known_stores(self) -> bool:
        if isinstance(self.stores, str):
            return self.stores in ("single", "random", "shape")
        return (
            isinstance(self.stores, tuple)
            and len(self.stores) > 0
            and (
                all(isinstance(store, str) for store in self.stores)
                or all(map(_is_integer, self.stores))
            )
        )

    def allocate(
        self, members: Sequence[MemberSpec], budget_params: int
    ) -> Allocation:
        """The allocation of the members' kernels inside the budget.

        Raises:
            ValueError: If the budget is too small; names the smallest one.
        """
        kernels = all_kernels(members)
        chosen = self.chosen(members)
        groups = self._groups(kernels, chosen)
        fixed = others_params(members, chosen)
        weights = [sum(kernels[k].size for k in group) for group in groups]

        def superweights(total):
            sizes = in_proportion(total, weights)
            return [
                self._read(kernels, group, store, bank)
                for bank, (group, store) in enumerate(
                    zip(groups, sizes, strict=True)
                )
            ]

        def cost(total):
            return sum(
                size + sum(piece.beside_bank(kernels) for piece in pieces)
                for size, pieces in superweights(total)
            )

        low, high = len(groups), self.max_templates * sum(weights)
        total = largest_total(cost, budget_params - fixed, low, high)
        if total is None:
            total = cheapest_total(cost, low, sum(weights))
        if cost(total) > budget_params - fixed:
            smallest = fixed + cost(total)
            hint = ""
            if self.upsampling == "mask":
                hint = 'Masks take part of it: `upsampling="repeat"` has none.'
            refuse(budget_params, smallest, self, members, fixed, hint)
        stores = superweights(total)
        left = budget_params - fixed - cost(total)
        return Allocation(
            members=tuple(members),
            banks=tuple(
                BankSpec(f"store {index}", size)
                for index, (size, _) in enumerate(stores)
            ),
            superweights=tuple(p for _, pieces in stores for p in pieces),
            budget_params=budget_params,
            sharing=str(self),
            note=f"{left:,} scalars are left: no kernel would read them. "
            "More `max_templates` can use more."
            if left
            else "",
        )

    def _groups(self, kernels, chosen) -> list[list[int]]:
        """The kernels of each store."""
        if self.stores == "single":
            places = [0] * len(chosen)
        elif self.stores == "random":
            draw = random.Random(self.seed)
            places = [draw.randrange(self.num_stores) for _ in chosen]
        elif self.stores == "shape":
            places = [(kernels[k].kind, kernels[k].shape) for k in chosen]
        elif isinstance(self.stores[0], str):
            places = [self._first_match(kernels[k]) for k in chosen]
            unused = set(range(len(self.stores))) - set(places)
            if unused:
                raise ValueError(
                    "Each of the patterns in `stores` must be the first that "
                    f"matches some layer that is shared. Received: "
                    f"stores={self.stores}, of which "
                    f"{[self.stores[place] for place in sorted(unused)]} are "
                    "of no layer."
                )
        elif len(self.stores) == len(chosen):
            places = self.stores
        else:
            raise ValueError(
                "`stores` must have a number for each kernel that is shared. "
                f"Received: {len(self.stores)} numbers for {len(chosen)} "
                "kernels."
            )
        groups = {}
        for place, kernel in zip(places, chosen, strict=True):
            groups.setdefault(place, []).append(kernel)
        return [groups[place] for place in sorted(groups)]

    def _first_match(self, kernel) -> int:
        for place, pattern in enumerate(self.stores):
            if matches(kernel, pattern):
                return place
        raise ValueError(
            "One of the patterns in `stores` must match each layer that is "
            f"shared. Received: stores={self.stores}, none of which matches "
            f"'{kernel.layer}'. End with '*' for all others."
        )

    def _read(self, kernels, group, store, bank):
        """How the kernels of a store read it.

        Returns:
            The scalars that are read, and the SuperWeights: one for all
            kernels that mix the same templates.
        """
        views = deal(
            [kernels[k].size for k in group], store, self.max_templates
        )
        users = {}
        for query, (kernel, view) in enumerate(zip(group, views, strict=True)):
            if self.mixing == "rr":
                rows = store // view.length
                turn = (view.first + query % view.num_templates) % rows
                view = View(view.length, turn, 1)
            upsampling, shape = "", None
            if kernels[kernel].size > view.length:
                upsampling = self.upsampling
                shape = upsampling == "bilinear" and kernels[kernel].shape
            users.setdefault((view, upsampling, shape), []).append(kernel)
        superweights = [
            flat(
                bank,
                indices,
                view,
                # A single template is used as it is.
                "avg" if view.num_templates == 1 else self.mixing,
                upsampling,
            )
            for (view, upsampling, _), indices in users.items()
        ]
        return read(views, store), joined(superweights, store)

    def allocate_pretraining(
        self, members: Sequence[MemberSpec], budget_params: int
    ) -> Allocation:
        """The allocation to learn from which layers should share a store.

        All lies in one store of four equal templates, resized to each layer,
        so that the coefficients of all layers mean the same (NPAS, section
        3.4). Templates are not larger than the largest kernel.

        Raises:
            ValueError: If the budget is too small; names the smallest one.
        """
        kernels = all_kernels(members)
        chosen = self.chosen(members)
        mixing = self.mixing if self.mixing == "emb" else "wavg"
        shapes = {}
        for kernel in chosen:
            shapes.setdefault(kernels[kernel].shape, []).append(kernel)

        def superweights(length):
            view = View(length, 0, PRETRAINING_TEMPLATES)
            return tuple(
                flat(0, indices, view, mixing, "bilinear")
                for indices in shapes.values()
            )

        fixed = others_params(members, chosen) + sum(
            piece.num_coefficients for piece in superweights(1)
        )
        smallest = fixed + PRETRAINING_TEMPLATES
        if budget_params < smallest:
            refuse(budget_params, smallest, self, members, fixed)
        length = min(
            (budget_params - fixed) // PRETRAINING_TEMPLATES,
            max(kernels[kernel].size for kernel in chosen),
        )
        return Allocation(
            members=tuple(members),
            banks=(BankSpec("store", length * PRETRAINING_TEMPLATES),),
            superweights=superweights(length),
            budget_params=budget_params,
            sharing=f"{self}, pretraining",
        )


def _is_integer(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
