"""Learns which layers should read the same store (NPAS, section 3.4)."""

import dataclasses
from dataclasses import dataclass

import numpy as np

from keras_superweights.allocation.allocation import Allocation
from keras_superweights.allocation.specs import resolve_budget
from keras_superweights.arguments import check_integer
from keras_superweights.members.allocating import describe
from keras_superweights.members.skeleton import skeletons
from keras_superweights.search.pretraining import check_data
from keras_superweights.search.pretraining import pretrain
from keras_superweights.sharing.shapeshifter import Shapeshifter
from keras_superweights.training.network import SuperWeightNetwork


@dataclass(frozen=True)
class LearnedStores:
    """Which kernels should read the same store, and why.

    Attributes:
        sharing: The rule with the learned stores; train from scratch with it.
        start: The allocation that was pretrained.
        coefficients: The learned weights of the four templates, one row per
            shared kernel, in units of the norm at the start.
    """

    sharing: Shapeshifter
    start: Allocation
    coefficients: np.ndarray


def learn_stores(
    members,
    budget_params,
    data,
    sharing=None,
    seed=0,
    ensemble=None,
    weight_decay=5e-4,
    decay_batch_norm=True,
    **pretraining,
):
    """Finds out which layers should share a store, from their coefficients.

    Layers that learn to mix the same templates alike can share them. All
    parameters are pretrained in one store of four equal templates, resized to
    every layer; then k-means puts layers of similar coefficients into one
    store each. Every store gets its layers' share of the budget. Train from
    scratch with the result. NPAS, section 3.4.

    Args:
        members, budget_params: As for `SuperWeightNetwork`.
        data: As for `search.find_clusters`.
        sharing: The `sharing.Shapeshifter` whose `num_stores` stores are
            learned. Of WRN-28-10, the paper found 4 best with 4M parameters
            and 14 with 36M (table 10). With `mixing="emb"` the pretraining
            uses embeddings, otherwise weights. Defaults to `Shapeshifter()`.
        seed: Seed of k-means. Defaults to 0.
        ensemble, weight_decay, decay_batch_norm, **pretraining: As for
            `search.measure_similarity`.

    Returns:
        `LearnedStores`.

    Raises:
        TypeError: If an argument has the wrong type, such as a rule without
            stores to learn, or arrays as data.
        ValueError: If a setting is out of range, there are fewer kernels than
            stores, the budget is too small, the data ends within an epoch, or
            the loss or a weight is not finite.

    Example:

    ```python
    found = ksw.search.learn_stores(
        model,
        0.3,
        train,
        ksw.sharing.Shapeshifter(num_stores=4),
        loss="binary_crossentropy",
    )
    network = ksw.share(model, 0.3, found.sharing)
    ```
    """
    rule = learnable(sharing)
    check_data(data)
    check_integer("seed", seed, least=0, most=2**32 - 1)
    models = skeletons(members)
    specs = describe(models)
    network = SuperWeightNetwork(
        models,
        allocation=pretraining_allocation(
            rule, specs, resolve_budget(budget_params, specs)
        ),
        ensemble=ensemble,
        weight_decay=weight_decay,
        decay_batch_norm=decay_batch_norm,
    )
    # The initial norm is the layer's scale, not its mixture.
    norms = np.linalg.norm(_coefficients(network), axis=1, keepdims=True)
    pretrain(network, data, **pretraining)
    coefficients = _coefficients(network) / norms
    return LearnedStores(
        sharing=with_stores(rule, coefficients, seed),
        start=network.allocation,
        coefficients=coefficients,
    )


def learnable(sharing: Shapeshifter | None) -> Shapeshifter:
    """Checks a rule whose stores are to be learned, or makes the default."""
    rule = Shapeshifter() if sharing is None else sharing
    if not isinstance(rule, Shapeshifter) or rule.stores != "single":
        raise TypeError(
            "`sharing` must be a `Shapeshifter` whose `stores` are not given "
            f"yet, so that they can be learned. Received: sharing={sharing!r}."
        )
    return rule


def pretraining_allocation(rule, members, budget_params) -> Allocation:
    """Returns the allocation of the pretraining, all kernels in one store."""
    count = len(rule.chosen(members))
    if rule.num_stores > count:
        raise ValueError(
            f"`num_stores` must be an integer from 1 to {count}, the number "
            f"of kernels. Received: num_stores={rule.num_stores}."
        )
    found = rule.allocate_pretraining(members, budget_params)
    return dataclasses.replace(found, sharing=f"{rule}, pretraining")


def with_stores(rule, coefficients, seed=0) -> Shapeshifter:
    """Returns the rule with the stores that learned coefficients give."""
    stores = group_coefficients(coefficients, rule.num_stores, seed)
    return dataclasses.replace(rule, stores=stores)


def group_coefficients(coefficients, num_stores, seed=0) -> tuple[int, ...]:
    """Returns the store of each kernel, by k-means on its coefficients.

    Takes one row of coefficients per kernel. Stores are numbered in the order
    of their first kernels.

    Example:

    >>> group_coefficients([[0.0], [5.0], [0.1]], num_stores=2)
    (0, 1, 0)
    """
    from sklearn.cluster import KMeans  # a second that imports need not take

    kmeans = KMeans(num_stores, n_init=10, random_state=seed)
    found = kmeans.fit_predict(np.asarray(coefficients, "float64"))
    numbers = {}
    return tuple(numbers.setdefault(int(f), len(numbers)) for f in found)


def _coefficients(network):
    """Returns the weights of the four templates, in the order of kernels.

    Different shapes project embeddings differently; the resulting weights are
    comparable.
    """
    rows = {}
    for superweight, mixture in zip(
        network.allocation.superweights, network.generator.mixtures, strict=True
    ):
        weights = np.array(mixture.matrix())
        rows |= zip(superweight.kernels, weights, strict=True)
    return np.array([rows[kernel] for kernel in sorted(rows)])
