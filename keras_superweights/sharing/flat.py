"""SuperWeights of kernels that read flat stores (NPAS, section 3.1)."""

from collections.abc import Sequence

from keras_superweights.allocation.superweight import SuperWeight
from keras_superweights.parts import Average
from keras_superweights.parts import Embedded
from keras_superweights.parts import Flat
from keras_superweights.parts import WeightedSum
from keras_superweights.sharing.dealing import View

# By the names that rules have for them: from a number of kernels to a mixing.
MIXINGS = {
    "wavg": WeightedSum.untied,
    "emb": lambda num_kernels: Embedded(tuple(range(num_kernels))),
    "avg": lambda num_kernels: Average(),
}

# Joined are those that mix at least one in so many of the rows.
SPARSEST = 4


def flat(
    bank: int, kernels: Sequence[int], view: View, mixing: str = "wavg"
) -> SuperWeight:
    """The SuperWeight of kernels that mix the same templates of a store.

    Args:
        bank: Index of the store.
        kernels: Indices of the kernels.
        view: Which rows are templates.
        mixing: A key of `MIXINGS`.
    """
    return SuperWeight(
        bank=bank,
        kernels=tuple(kernels),
        geometry=Flat(view.length),
        mixing=MIXINGS[mixing](len(kernels)),
        num_templates=view.num_templates,
        first=view.first,
    )


def joined(
    bank: int,
    store: int,
    users: dict[View, Sequence[int]],
    mixing: str = "wavg",
    single: str = "avg",
) -> list[SuperWeight]:
    """The SuperWeights of a store; one where weighted sums overlap.

    That one holds all rows of the store, of which each kernel mixes its
    choice: they are read once, by one matrix product, instead of once for
    each set of templates. Where choices are but a small part of the rows,
    products with zeros would cost more than that saves, and nothing is
    joined.

    Args:
        bank: Index of the store.
        store: Scalars in the store.
        users: For each view, the kernels that read it.
        mixing: A key of `MIXINGS`.
        single: The same, for a single template; by default it is used as it
            is.
    """
    by_size = {}
    for view in users:
        mixes = mixing == "wavg" and view.num_templates > 1
        key = (view.length, view.num_templates) if mixes else view
        by_size.setdefault(key, []).append(view)
    superweights = []
    for views in by_size.values():
        if _overlap(views, store):
            superweights.append(_join(bank, store, views, users))
            continue
        superweights += [
            flat(
                bank,
                users[view],
                view,
                single if view.num_templates == 1 else mixing,
            )
            for view in views
        ]
    return superweights


def _overlap(views, store):
    rows = store // views[0].length
    count = views[0].num_templates
    return count < rows < count * len(views) and rows <= SPARSEST * count


def _join(bank, store, views, users) -> SuperWeight:
    length = views[0].length
    rows = store // length
    choices = {
        kernel: tuple(
            (view.first + t) % rows for t in range(view.num_templates)
        )
        for view in views
        for kernel in users[view]
    }
    kernels = sorted(choices)
    return SuperWeight(
        bank=bank,
        kernels=tuple(kernels),
        geometry=Flat(length),
        mixing=WeightedSum.untied(
            len(kernels), tuple(choices[kernel] for kernel in kernels)
        ),
        num_templates=rows,
    )
