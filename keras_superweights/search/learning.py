"""Learns which layers should read the same store (NPAS, section 3.4)."""

import dataclasses
from dataclasses import dataclass

import keras
import numpy as np

from keras_superweights.allocation.allocation import Allocation
from keras_superweights.allocation.specs import resolve_budget
from keras_superweights.members.allocating import describe
from keras_superweights.members.skeleton import skeletons
from keras_superweights.search.pretraining import check_data
from keras_superweights.search.pretraining import check_epochs
from keras_superweights.search.pretraining import pretrain
from keras_superweights.sharing.shapeshifter import Shapeshifter
from keras_superweights.training.network import SuperWeightNetwork


@dataclass(frozen=True)
class LearnedStores:
    """Which kernels should read the same store, and why.

    Attributes:
        sharing: The rule with the stores learned; train from scratch with it.
        start: The allocation that was pretrained.
        coefficients: How each shared kernel had learned to weigh the four
            templates, one row a kernel, in units of the norm at the start.
    """

    sharing: Shapeshifter
    start: Allocation
    coefficients: np.ndarray


def learn_stores(
    members,
    budget_params,
    data,
    num_stores,
    loss,
    sharing=None,
    pretrain_epochs=20,
    steps_per_epoch=None,
    optimizer=None,
    weight_decay=5e-4,
    decay_batch_norm=True,
    jit_compile="auto",
    callbacks=(),
    initial_epoch=0,
    seed=0,
    verbose="auto",
):
    """Finds out which layers should share a store, from their coefficients.

    Layers that learn to mix the same templates alike can share them. All
    parameters are pretrained in one store of four equal templates, resized to
    every layer; then k-means puts layers of similar coefficients into one
    store each. Every store gets the share of the budget that its layers have
    of the network. Train from scratch with what is found. NPAS, section 3.4.

    Args:
        members: As for `SuperWeightNetwork`; the model, if it is one.
        budget_params: As for `SuperWeightNetwork`.
        data: A `tf.data.Dataset` of batches, as for `fit`.
        num_stores: How many stores. Of WRN-28-10, the paper found 4 best with
            4M parameters and 14 with 36M (table 10).
        loss: As for `compile`.
        sharing: The `Shapeshifter` to learn the stores of. With `mixing="emb"`
            the pretraining uses embeddings, otherwise weights. Defaults to
            `Shapeshifter()`.
        pretrain_epochs: Epochs of pretraining. Defaults to 20.
        steps_per_epoch: Batches in an epoch. Needed when `data` holds all
            epochs one after the other; by default an epoch is all of `data`.
        optimizer: Defaults to the papers' SGD: rate 0.1, Nesterov momentum
            0.9.
        weight_decay: As for `SuperWeightNetwork`. Defaults to the papers'
            5e-4.
        decay_batch_norm: As for `SuperWeightNetwork`.
        jit_compile: As for `compile`: whether steps are compiled by XLA.
        callbacks: Keras callbacks for the pretraining.
        initial_epoch: As for `fit`, for callbacks that restore the network.
        seed: Seed of k-means. Defaults to 0.
        verbose: As for `fit`.

    Returns:
        `LearnedStores`.

    Raises:
        TypeError: If `sharing` is another rule.
        ValueError: If a setting is out of range, there are fewer kernels than
            stores, the budget is too small, the data ends before an epoch is
            over, or the loss is not finite.

    Example:

    ```python
    found = ksw.search.learn_stores(
        model, 0.3, train, num_stores=4, loss="binary_crossentropy"
    )
    network = ksw.share(model, 0.3, found.sharing)
    ```
    """
    rule = Shapeshifter() if sharing is None else sharing
    if not isinstance(rule, Shapeshifter):
        raise TypeError(
            "`sharing` must be a `Shapeshifter`, the rule that has stores. "
            f"Received: sharing={sharing!r}."
        )
    check_epochs(pretrain_epochs)
    check_data(data)
    models = skeletons(members)
    specs = describe(models)
    chosen = rule.chosen(specs)
    if not isinstance(num_stores, int) or not 1 <= num_stores <= len(chosen):
        raise ValueError(
            f"`num_stores` must be an integer from 1 to {len(chosen)}, the "
            f"number of kernels. Received: num_stores={num_stores!r}."
        )
    network = SuperWeightNetwork(
        models,
        allocation=rule.allocate_pretraining(
            specs, resolve_budget(budget_params, specs)
        ),
        weight_decay=weight_decay,
        decay_batch_norm=decay_batch_norm,
    )
    # The norm at the start is that of the layer's scale, not of its mixture.
    norms = np.linalg.norm(_coefficients(network), axis=1, keepdims=True)
    network.compile(
        optimizer or keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
        loss,
        jit_compile=jit_compile,
    )
    pretrain(
        network,
        data,
        pretrain_epochs,
        steps_per_epoch,
        callbacks=callbacks,
        initial_epoch=initial_epoch,
        verbose=verbose,
    )
    coefficients = _coefficients(network) / norms
    stores = group_coefficients(coefficients, num_stores, seed)
    return LearnedStores(
        sharing=dataclasses.replace(rule, stores=stores),
        start=network.allocation,
        coefficients=coefficients,
    )


def group_coefficients(coefficients, num_stores, seed=0) -> tuple[int, ...]:
    """The store of each kernel, by k-means on its coefficients.

    Args:
        coefficients: Array, one row a kernel.
        num_stores: How many groups.
        seed: Seed of the starts of k-means.

    Returns:
        For each kernel the number of its store; stores are numbered in the
        order of their first kernels.

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
    """The weights of the four templates, in the order of kernels.

    Embeddings of layers of different shapes go through different projections:
    what these make of them can be compared.
    """
    rows = {}
    generator = network.generator
    for piece, mixture in zip(
        network.allocation.superweights, generator.mixtures, strict=True
    ):
        rows |= zip(piece.kernels, np.array(mixture.matrix()), strict=True)
    return np.array([rows[kernel] for kernel in sorted(rows)])
