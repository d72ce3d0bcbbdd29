"""Damaged allocations: mutations of the JSON that `Allocation.to_json` writes.

A mutation changes one place of a valid document: a value of another JSON type,
another number, a key or an element lost, repeated or new. A type is never
right; what else is accepted must say the same after writing it again, cost
what its network has, and store no more than is read: then it was no bad input,
and does not count.
"""

import copy
import json
import random

import keras

import keras_superweights as ksw
from benchmarks.attack.judging import Case
from benchmarks.attack.judging import HarmlessError
from keras_superweights import banks
from keras_superweights import parts

# Of each kind of mutation, for each document.
COUNT = 25
_OTHERS = (None, True, "text", 0.5, [], {}, [[0]], {"class": "Flat"})
_NUMBERS = (-1, 0, 7, 10**6, 10**12, 2**70)
_TEXTS = {
    "nothing": "",
    "no JSON": "{",
    "a number": "3",
    "a list": "[]",
    "null": "null",
    "an empty object": "{}",
    "deep lists": "[" * 100_000,
    "deep objects": '{"members":' * 100_000,
    "deep lists inside": '{"format": 1, "members": ' + "[" * 50_000,
    "binary": "\x00\x01\x02",
    "NaN": '{"format": NaN}',
    "another format": '{"format": 99}',
    "no format": '{"members": [], "banks": []}',
}


def documents():
    """Returns valid documents by name, of all ways to share."""
    pair = [ksw.models.wide_resnet(10, width, 3, (8, 8, 1)) for width in (1, 2)]
    sharing = ksw.sharing
    rules = {
        "SuperWeights": (
            0.8,
            sharing.SuperWeights(
                tied=True,
                transforms=(parts.RankOne(), parts.Standardized()),
            ),
        ),
        "MixtureEnsembles": (0.8, sharing.MixtureEnsembles()),
        "Shapeshifter": (0.1, sharing.Shapeshifter()),
        "embedded": (0.8, sharing.Shapeshifter(mixing="emb")),
        "FairShares": (0.9, sharing.FairShares()),
    }
    return {
        name: ksw.allocate(pair, budget, rule).to_json()
        for name, (budget, rule) in rules.items()
    }


def cases(directory, seed):
    """Yields the `Case`s."""
    for name, text in _TEXTS.items():
        yield Case(
            f"from_json of {name}", _reading(text, False), ("allocation",)
        )
    draw = random.Random(seed)
    for name, text in documents().items():
        for kind, mutate in MUTATIONS.items():
            for _ in range(COUNT):
                data = json.loads(text)
                place, words = mutate(data, draw)
                yield Case(
                    f"{name}: {kind} {place}",
                    _reading(json.dumps(data), kind != "type"),
                    words,
                )
        for _ in range(COUNT):
            cut = draw.randrange(len(text))
            yield Case(
                f"{name}: cut at {cut}",
                _reading(text[:cut], False),
                ("allocation",),
            )


def _reading(text, may_be_valid):
    """Returns a function that reads a document and builds what it says."""

    def read():
        found = ksw.Allocation.from_json(text)
        if may_be_valid and _is_sound(found, text):
            raise HarmlessError
        return found

    return read


def _is_sound(found, text):
    """Whether an allocation is what its text says, and can be had."""
    same = json.loads(found.to_json()) == json.loads(text)
    stored = all(
        bank.size
        <= sum(reader.num_templates * reader.size for reader in readers)
        + max(reader.size for reader in readers)
        for bank, readers in zip(found.banks, found.readers, strict=True)
    )
    if not same or not stored:
        return False
    with keras.StatelessScope(initialize_variables=False):
        generator = banks.KernelGenerator(found)
    variables = sum(
        v.shape.num_elements() for v in generator.trainable_variables
    )
    others = sum(member.other_params for member in found.members)
    private = sum(found.kernels[k].size for k in found.private_kernels)
    return variables + others + private == found.num_params


def _places(data, path=()):
    """Yields the path of every value inside plain data."""
    items = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, (dict, list)):
            yield from _places(value, (*path, key))


def _at(data, path):
    for key in path:
        data = data[key]
    return data


def _chosen(data, draw, accepts):
    """Chooses a place: returns what holds it, its key, name and words.

    First a name without numbers, then one of its places, as otherwise most
    would be numbers of long lists.
    """
    names = {}
    for path in _places(data):
        if accepts(_at(data, path), _at(data, path[:-1])):
            name = tuple(key for key in path if isinstance(key, str))
            names.setdefault(name, []).append(path)
    name = draw.choice(sorted(names))
    path = draw.choice(names[name])
    words = {word for key in name for word in (key, key.removesuffix("s"))}
    # A mixing, a geometry or a transform is named by its class.
    words |= {"allocation", "bank", "SuperWeight", "kernel"}
    return _at(data, path[:-1]), path[-1], ".".join(map(str, path)), words


def _change_type(data, draw):
    holder, key, place, words = _chosen(data, draw, lambda value, _: True)
    old = holder[key]
    others = [new for new in _OTHERS if type(new) is not type(old)]
    holder[key] = copy.deepcopy(draw.choice(others))
    return f"{place}={holder[key]!r}", tuple(words)


def _change_number(data, draw):
    holder, key, place, words = _chosen(
        data, draw, lambda value, _: type(value) is int
    )
    old = holder[key]
    holder[key] = draw.choice([n for n in _NUMBERS if n != old] + [old + 1])
    return f"{place}={holder[key]}", tuple(words)


def _lose(data, draw):
    holder, key, place, words = _chosen(data, draw, lambda value, _: True)
    del holder[key]
    return place, tuple(words)


def _repeat(data, draw):
    holder, key, place, words = _chosen(
        data, draw, lambda _, holder: isinstance(holder, list)
    )
    holder.insert(key, copy.deepcopy(holder[key]))
    return place, tuple(words)


def _add(data, draw):
    holder, key, place, words = _chosen(
        data, draw, lambda value, _: isinstance(value, dict)
    )
    holder[key]["unknown"] = draw.choice([0, "text", None])
    return place, (*words, "unknown")


MUTATIONS = {
    "type": _change_type,
    "number": _change_number,
    "without": _lose,
    "twice": _repeat,
    "more in": _add,
}
