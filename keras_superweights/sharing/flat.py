"""SuperWeights of kernels that read flat stores (NPAS, section 3.1)."""

from collections.abc import Sequence

from keras_superweights.allocation.part import Mixing
from keras_superweights.allocation.superweight import SuperWeight
from keras_superweights.parts import Average
from keras_superweights.parts import Embedded
from keras_superweights.parts import Flat
from keras_superweights.parts import WeightedSum
from keras_superweights.sharing.dealing import View

# By the names that rules use. A class of the user's own goes without one.
MIXINGS = {"wavg": WeightedSum, "emb": Embedded, "avg": Average}

# Kernels that mix less than one of so many rows are not joined.
SPARSEST = 4


def flat(
    bank: int,
    kernels: Sequence[int],
    view: View,
    mixing: str | type[Mixing] = "wavg",
) -> SuperWeight:
    """Returns the SuperWeight of kernels that read a store by one view."""
    return SuperWeight(
        bank=bank,
        kernels=tuple(kernels),
        geometry=Flat(view.length),
        mixing=MIXINGS.get(mixing, mixing).untied(len(kernels)),
        num_templates=view.num_templates,
        first=view.first,
    )


def joined(
    bank: int,
    store: int,
    users: dict[View, Sequence[int]],
    mixing: str | type[Mixing] = "wavg",
    single: str = "avg",
) -> list[SuperWeight]:
    """Returns the SuperWeights of a store, overlapping weighted sums as one.

    A joined SuperWeight holds all rows of the store, of which each kernel
    mixes its choice: one matrix product reads them once, instead of once per
    set of templates. Where choices are a small part of the rows, products
    with zeros would cost more than that, and nothing is joined.

    Args:
        bank: Index of the store.
        store: Scalars in the store.
        users: The kernels that read each view.
        mixing, single: Keys of `MIXINGS` or mixings, for several templates
            and for one.
    """
    by_size = {}
    for view in users:
        mixes = mixing == "wavg" and view.num_templates > 1
        key = (view.length, view.num_templates) if mixes else view
        by_size.setdefault(key, []).append(view)
    superweights = []
    for views in by_size.values():
        rows = store // views[0].length
        count = views[0].num_templates
        if count < rows < count * len(views) and rows <= SPARSEST * count:
            superweights.append(_join(bank, rows, views, users))
        else:
            by_name = single if count == 1 else mixing
            superweights += [flat(bank, users[v], v, by_name) for v in views]
    return superweights


def _join(bank, rows, views, users) -> SuperWeight:
    choices = {
        kernel: tuple(
            (view.first + t) % rows for t in range(view.num_templates)
        )
        for view in views
        for kernel in users[view]
    }
    kernels = tuple(sorted(choices))
    return SuperWeight(
        bank=bank,
        kernels=kernels,
        geometry=Flat(views[0].length),
        mixing=WeightedSum.untied(
            len(kernels), tuple(choices[kernel] for kernel in kernels)
        ),
        num_templates=rows,
    )
