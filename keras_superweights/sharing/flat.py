"""SuperWeights of kernels that read flat stores (NPAS, section 3.1)."""

import dataclasses
from collections.abc import Sequence

from keras_superweights.allocation.superweight import SuperWeight
from keras_superweights.sharing.dealing import View

# Joined are those that mix at least one in so many of the rows.
SPARSEST = 4


def flat(
    bank: int,
    kernels: Sequence[int],
    view: View,
    mixing: str = "wavg",
    upsampling: str = "",
) -> SuperWeight:
    """The SuperWeight of kernels that mix the same templates of a store.

    Args:
        bank: Index of the store.
        kernels: Indices of the kernels.
        view: Which rows are templates.
        mixing: See `SuperWeight`.
        upsampling: See `SuperWeight`.
    """
    return SuperWeight(
        bank=bank,
        window=(),
        region=(),
        kernels=tuple(kernels),
        num_templates=view.num_templates,
        ties=() if mixing == "avg" else tuple(range(len(kernels))),
        first=view.first,
        length=view.length,
        mixing=mixing,
        upsampling=upsampling,
    )


def joined(superweights: Sequence[SuperWeight], store: int):
    """Makes one of weighted sums of rows of one length that overlap.

    It holds all rows of the store, of which each kernel mixes its choice:
    they are read once, by one matrix product, instead of once for each set of
    templates. Where choices are but a small part of the rows, products with
    zeros would cost more than that saves, and nothing is joined.

    Args:
        superweights: All that read a store, made by `flat`.
        store: Scalars in the store.

    Returns:
        A list of SuperWeights.
    """
    by_length = {}
    for piece in superweights:
        mixes = piece.mixing == "wavg" and piece.num_templates > 1
        key = (piece.length, piece.num_templates) if mixes else piece
        by_length.setdefault(key, []).append(piece)
    return [
        each
        for pieces in by_length.values()
        for each in (
            [_join(pieces, store)] if _overlap(pieces, store) else pieces
        )
    ]


def _overlap(pieces, store):
    rows = store // pieces[0].length
    count = pieces[0].num_templates
    return count < rows < count * len(pieces) and rows <= SPARSEST * count


def _join(pieces, store) -> SuperWeight:
    rows = store // pieces[0].length
    choices = {
        kernel: tuple(
            (piece.first + t) % rows for t in range(piece.num_templates)
        )
        for piece in pieces
        for kernel in piece.kernels
    }
    kernels = sorted(choices)
    return dataclasses.replace(
        flat(pieces[0].bank, kernels, View(pieces[0].length, 0, rows)),
        choices=tuple(choices[kernel] for kernel in kernels),
    )
