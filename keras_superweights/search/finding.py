"""The search: pretrain with everything tied, measure, and refine."""

import keras

from keras_superweights.search.grouping import check_threshold
from keras_superweights.search.pretraining import check_data
from keras_superweights.search.pretraining import check_epochs
from keras_superweights.search.pretraining import pretrain
from keras_superweights.search.recording import GradientRecorder
from keras_superweights.search.refinement import Refinement
from keras_superweights.search.refinement import fit_clusters
from keras_superweights.search.similarity import unused_kernels
from keras_superweights.search.similarity import weight_similarity
from keras_superweights.sharing.superweights import SuperWeights
from keras_superweights.training.network import SuperWeightNetwork


def find_clusters(
    members,
    budget_params,
    data,
    tau=0.1,
    pretrain_epochs=20,
    depth_bins=4,
    max_templates=None,
    kinds=None,
    exclude=(),
    sketch_size=None,
    steps_per_epoch=None,
    optimizer=None,
    loss=None,
    weight_decay=5e-4,
    decay_batch_norm=True,
    jit_compile="auto",
    callbacks=(),
    initial_epoch=0,
    verbose="auto",
):
    """Finds out which layers may share weights, from their gradients.

    The members are pretrained with the layers of each depth bin tied. Over
    the last epoch, the gradients of every kernel are added up; kernels whose
    sums point the same way (cosine above `tau`) stay in one cluster. Where
    the clusters do not fit the budget, tau is lowered by 0.05 until they do.
    Train from scratch with the allocation found. SWN, sections 1.1, 2
    and 3.5.

    Args:
        members: As for `SuperWeightNetwork`.
        budget_params: As for `SuperWeightNetwork`.
        data: A `tf.data.Dataset` of batches, or what else `fit` takes them
            from, such as a `keras.utils.PyDataset`; not arrays.
        tau: Threshold on the similarity, from -1 (the depth bins stay as they
            are) to 1 (every kernel is on its own). Defaults to 0.1.
        pretrain_epochs: Epochs of pretraining, the last of which is recorded.
            Defaults to 20.
        depth_bins: Bins that the search starts from. Defaults to 4.
        max_templates: As for `sharing.SuperWeights`.
        kinds: As for `sharing.SuperWeights`.
        exclude: As for `sharing.SuperWeights`.
        sketch_size: Scalars to keep of the gradient of each piece of each
            kernel, all by default: see `search.GradientRecorder`.
        steps_per_epoch: Batches in an epoch. Needed when `data` holds all
            epochs one after the other; by default an epoch is all of `data`.
        optimizer: Defaults to the papers' SGD: rate 0.1, Nesterov momentum
            0.9.
        loss: Defaults to `SparseCategoricalCrossentropy(from_logits=True)`.
        weight_decay: As for `SuperWeightNetwork`. Defaults to the papers'
            5e-4.
        decay_batch_norm: As for `SuperWeightNetwork`.
        jit_compile: As for `compile`: whether steps are compiled by XLA.
        callbacks: Keras callbacks for the pretraining, such as
            `BackupAndRestore`, with which a search that was interrupted goes
            on at its last finished epoch.
        initial_epoch: As for `fit`, for callbacks that restore the network
            when training begins and leave to `fit` where it goes on. `data`
            then begins with that epoch. Defaults to 0.
        verbose: As for `fit`.

    Returns:
        A `Refinement`: the refined `allocation`, kernels tied by cluster, and
        the evidence for it.

    Raises:
        TypeError: If an argument is of another kind, such as data in arrays.
        ValueError: If a setting is out of range, the budget is too small for
            the depth bins, the data ends before an epoch is over, or the loss
            is not finite.

    Example:

    ```python
    found = ksw.search.find_clusters(
        members, budget_params=18_000_000, data=train, tau=0.1
    )
    network = ksw.SuperWeightNetwork(members, allocation=found.allocation)
    ```
    """
    check_threshold("tau", tau)
    check_epochs(pretrain_epochs)
    check_data(data)
    rule = SuperWeights(
        depth_bins=depth_bins,
        tied=True,
        max_templates=max_templates,
        kinds=kinds,
        exclude=exclude,
    )
    network = SuperWeightNetwork(
        members,
        budget_params=budget_params,
        sharing=rule,
        weight_decay=weight_decay,
        decay_batch_norm=decay_batch_norm,
    )
    recorder = GradientRecorder(network.generator, sketch_size=sketch_size)
    network.compile(
        optimizer or keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
        loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=jit_compile,
    )
    pretrain(
        network,
        data,
        pretrain_epochs,
        steps_per_epoch,
        recorder=recorder,
        callbacks=callbacks,
        initial_epoch=initial_epoch,
        verbose=verbose,
    )
    start = network.allocation
    grams = recorder.grams()
    similarities = tuple(
        weight_similarity(start, cluster.kernels, grams)
        for cluster in rule.start_clusters(start.members)
    )
    allocation, tries = fit_clusters(
        start.members, rule, similarities, tau, start.budget_params
    )
    return Refinement(
        allocation=allocation,
        start=start,
        similarities=similarities,
        tries=tries,
        unused=unused_kernels(start, grams),
    )
