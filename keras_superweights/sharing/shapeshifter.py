"""Shapeshifter: any network with any number of parameters (NPAS)."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from keras_superweights.allocation.allocation import Allocation
from keras_superweights.allocation.part import Mixing
from keras_superweights.allocation.part import Transform
from keras_superweights.allocation.specs import MemberSpec
from keras_superweights.arguments import check_integer
from keras_superweights.arguments import quoted
from keras_superweights.parts import Bilinear
from keras_superweights.parts import Mask
from keras_superweights.parts import Repeat
from keras_superweights.sharing import dealing
from keras_superweights.sharing.flat import MIXINGS
from keras_superweights.sharing.flat import flat
from keras_superweights.sharing.flat import joined
from keras_superweights.sharing.plan import Plan
from keras_superweights.sharing.rule import Rule
from keras_superweights.sharing.selection import matches

UPSAMPLINGS = {"mask": Mask, "repeat": Repeat, "bilinear": Bilinear}

# NPAS, section 3.4.
PRETRAINING_TEMPLATES = 4


@dataclass(frozen=True)
class Shapeshifter(Rule):
    """Shares among layers of any shape and kind, within any budget.

    Parameters lie in stores, flat vectors. Every layer reads its store in its
    own shape: as up to `max_templates` templates, which it mixes; as a single
    one, which it uses as it is; or, from a smaller store, upsampled (NPAS,
    section 3). So a budget may be a few thousandths of the network, or several
    times its size (SSN+, section 4.2); `materialize()` always returns the
    network in its own size.

    Each kernel starts with the variance that its layer needs, by a constant
    factor where it has no coefficients; the paper leaves that to batch
    normalization. Initial coefficients are orthogonal to those of the layers
    that mix the same templates.

    Args:
        mixing: How templates become a kernel. `"wavg"`: a sum weighted by
            learned coefficients. `"emb"`: a mean weighted by the softmax of
            a projection of a learned embedding of the layer. `"rr"`: one
            template, in turn. `"avg"`: their mean. Sections 3.2 and B.2. Or
            a class of yours that derives from `allocation.Mixing`.
        max_templates: The most templates that a layer mixes, `P` in the
            paper, which found 8 best for WRN-28-10 (table 11).
        upsampling: How a store becomes a larger kernel. `"mask"`: repeated,
            every copy but the first times a learned mask for windows of 9
            scalars. `"repeat"`: repeated. `"bilinear"`: interpolated.
            Sections 3.3 and B.4. Or a class of yours that derives from
            `allocation.Transform` and takes a `length`.
        stores: Which layers share a store. `"single"`: all. `"random"`: those
            in the same of `num_stores` random groups. `"shape"`: those of one
            kind and shape. A list of patterns, as in `fnmatch`, one per
            store: a layer belongs to the first that matches its path. A list
            of numbers, one for every shared kernel in order, as
            `keras_superweights.search.learn_stores` finds. Each store gets
            its kernels' share of the budget (section 3.4).
        num_stores: Number of stores where they are random, or learned by the
            training programs.
        seed: Seed of the random stores.
        kinds, exclude, transforms: See `Rule`.

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

    mixing: str | type[Mixing] = "wavg"
    max_templates: int = 8
    upsampling: str | type[Transform] = "mask"
    stores: str | tuple = "single"
    num_stores: int = 4
    seed: int = 0

    def __post_init__(self):
        if isinstance(self.stores, list):
            object.__setattr__(self, "stores", tuple(self.stores))
        for name, named, family in (
            ("mixing", (*MIXINGS, "rr"), Mixing),
            ("upsampling", UPSAMPLINGS, Transform),
        ):
            value = getattr(self, name)
            is_own = isinstance(value, type) and issubclass(value, family)
            is_named = isinstance(value, str) and value in named
            if not is_own and not is_named:
                raise ValueError(
                    f"`{name}` must be one of {tuple(named)}, or a class that "
                    f"derives from `allocation.{family.__name__}`. Received: "
                    f"{name}={value!r}."
                )
        super().__post_init__()
        check_integer("max_templates", self.max_templates)
        check_integer("num_stores", self.num_stores)
        check_integer("seed", self.seed, least=0)
        if not self._has_known_stores():
            raise ValueError(
                '`stores` must be "single", "random", "shape", a list of '
                "patterns, or a list of integers, one for each kernel that is "
                f"shared. Received: stores={quoted(self.stores)}."
            )

    def _has_known_stores(self) -> bool:
        if isinstance(self.stores, str):
            return self.stores in ("single", "random", "shape")
        return set(map(type, self.stores)) in ({str}, {int})

    @property
    def _most(self) -> int:
        """The most templates that a kernel reads."""
        return 1 if self.mixing == "rr" else self.max_templates

    def plan(self, kernels, scalars):
        groups = self._groups(kernels)
        weights = [sum(kernels[k].size for k in group) for group in groups]

        reason = "no kernel would read them"
        if self._most > 1:
            reason += ". More `max_templates` can use more"

        def planned(total):
            plan = Plan(reason=reason)
            sizes = dealing.in_proportion(total, weights)
            for group, store in zip(groups, sizes, strict=True):
                self._read(plan, kernels, group, store)
            return plan

        def cost(total):
            return planned(total).cost(kernels)

        low, high = len(groups), self._most * sum(weights)
        total = dealing.largest_total(cost, scalars, low, high)
        if total is None:
            # From there on, each store holds the whole of its kernels.
            whole = sum(weights) + len(groups)
            total = dealing.cheapest_total(cost, low, whole)
            hint = ""
            if self.upsampling == "mask":
                hint = 'Masks take part of it: `upsampling="repeat"` has none.'
            Plan.require(cost(total), scalars, hint=hint)
        return planned(total)

    def _groups(self, kernels) -> list[list[int]]:
        """Returns the kernels of each store."""
        if self.stores == "single":
            places = [0] * len(kernels)
        elif self.stores == "random":
            draw = random.Random(self.seed)
            places = [draw.randrange(self.num_stores) for _ in kernels]
        elif self.stores == "shape":
            places = [(kernel.kind, kernel.shape) for kernel in kernels]
        elif isinstance(self.stores[0], str):
            places = list(map(self._first_match, kernels))
            unused = set(range(len(self.stores))) - set(places)
            if unused:
                raise ValueError(
                    "Each of the patterns in `stores` must be the first that "
                    f"matches some layer that is shared. Received: "
                    f"stores={self.stores}, of which "
                    f"{[self.stores[place] for place in sorted(unused)]} are "
                    "of no layer."
                )
        elif len(self.stores) == len(kernels):
            places = self.stores
        else:
            raise ValueError(
                "`stores` must have a number for each kernel that is shared. "
                f"Received: {len(self.stores)} numbers for {len(kernels)} "
                "kernels."
            )
        groups = {}
        for index, place in enumerate(places):
            groups.setdefault(place, []).append(index)
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

    def _read(self, plan, kernels, group, store):
        """Adds a store, up to the last scalar read, and its readers."""
        sizes = [kernels[k].size for k in group]
        views = dealing.deal(sizes, store, self._most)
        users = {}
        upsampled = {}
        for kernel, view in zip(group, views, strict=True):
            users.setdefault(view, []).append(kernel)
            if kernels[kernel].size > view.length:
                upsampled.setdefault(view.length, []).append(kernel)
        size = dealing.read(views, store)  # views read the same rows of it
        bank = plan.add_bank(f"store {len(plan.banks)}", size)
        plan.superweights += joined(bank, size, users, self.mixing)
        upsampling = UPSAMPLINGS.get(self.upsampling, self.upsampling)
        for length, smaller in upsampled.items():
            plan.transform(upsampling(length, kernels=tuple(smaller)))

    def allocate_pretraining(
        self, members: Sequence[MemberSpec], budget_params: int
    ) -> Allocation:
        """Allocates a network for learning which layers should share a store.

        It has one store of four equal templates, resized to each layer, so
        that the coefficients of all layers are comparable (NPAS, section
        3.4). Templates are not larger than the largest kernel.

        Raises:
            ValueError: If the budget is too small; names the smallest one.
        """
        return self.allocate(members, budget_params, self._plan_pretraining)

    def _plan_pretraining(self, kernels, scalars):
        indices = tuple(range(len(kernels)))
        mixing = self.mixing if self.mixing == "emb" else "wavg"
        plan = Plan(reason="templates are as large as the largest kernel")
        view = dealing.View(1, 0, PRETRAINING_TEMPLATES)
        coefficients = flat(0, indices, view, mixing).num_coefficients
        needed = coefficients + PRETRAINING_TEMPLATES
        Plan.require(needed, scalars, coefficients)
        longest = max(kernel.size for kernel in kernels)
        length = min((scalars - coefficients) // PRETRAINING_TEMPLATES, longest)
        bank = plan.add_bank("store", length * PRETRAINING_TEMPLATES)
        view = view._replace(length=length)
        plan.superweights.append(flat(bank, indices, view, mixing))
        plan.transform(Bilinear(length, kernels=indices))
        return plan
