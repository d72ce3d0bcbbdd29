"""The search: pretrain with everything tied, measure, and refine."""

from keras_superweights.search import pretraining
from keras_superweights.search import refinement
from keras_superweights.search import similarity
from keras_superweights.search.recording import GradientRecorder
from keras_superweights.training.network import SuperWeightNetwork


def find_clusters(
    members,
    budget_params,
    data,
    sharing=None,
    tau=0.1,
    beta=0.9,
    **settings,
):
    """Finds out which layers may share weights, from their gradients.

    The members are pretrained with the layers of each depth bin tied. The
    gradients of every kernel are summed over the last epoch; kernels whose
    sums point the same way (cosine above `tau`) stay in one cluster. If the
    clusters do not fit the budget, tau is lowered by 0.05 until they do.
    Then kernels of one cluster and member stay tied whose coefficients' sums
    point the same way (cosine above `beta`); all others get coefficients of
    their own. Train from scratch with the allocation found.

    SWN, sections 1.1, 2 and 3.5, but for the moment of the second decision:
    the papers train clusters tied and release ties later, by
    `callbacks.CoefficientDecoupling`. Members that start tied stay copies of
    one another, so that by default only kernels of one member are tied.

    Args:
        members, budget_params: As for `SuperWeightNetwork`.
        data: A `tf.data.Dataset` of batches, or anything else that gives
            batches to `fit`, such as a `keras.utils.PyDataset`; not arrays.
        sharing: The `sharing.SuperWeights` whose depth bins are refined.
            Defaults to `SuperWeights()`.
        tau: Threshold on the similarity, from -1 (the depth bins stay as they
            are) to 1 (every kernel is on its own). Defaults to 0.1.
        beta: Threshold on the similarity of coefficients, from -1 (a member's
            kernels of a cluster are all tied) to 1 (none are). `None` is the
            papers' way: clusters are tied, also across members, for
            `CoefficientDecoupling` to part. Defaults to 0.9.
        **settings: The other arguments of `search.measure_similarity`, such
            as `pretrain_epochs=20` and `sketch_size=None`.

    Returns:
        A `Refinement`: the refined `allocation`, whose ties are those that
        `beta` left, and the evidence for it.

    Raises:
        TypeError: If an argument has the wrong type, such as a rule that
            cannot be refined, or arrays as data.
        ValueError: If a setting is out of range, the budget is too small for
            the depth bins, the data ends within an epoch, or the loss, a
            weight or a gradient is not finite.

    Example:

    ```python
    found = ksw.search.find_clusters(
        members, budget_params=18_000_000, data=train, tau=0.1, beta=0.9
    )
    network = ksw.SuperWeightNetwork(members, allocation=found.allocation)
    ```
    """
    # Measuring may take hours: refuse bad thresholds before it.
    refinement.check_thresholds(tau, beta)
    measured = measure_similarity(
        members, budget_params, data, sharing, **settings
    )
    return refinement.refine(measured, sharing, tau, beta)


def measure_similarity(
    members,
    budget_params,
    data,
    sharing=None,
    sketch_size=None,
    ensemble=None,
    weight_decay=5e-4,
    decay_batch_norm=True,
    **settings,
):
    """Measures how alike the gradients of kernels are, by pretraining.

    Needs no threshold: `search.refine` decides on the result, as often as
    wanted.

    Args:
        members, budget_params, data, sharing: As for `find_clusters`.
        sketch_size: Number of scalars to keep of the gradient of each
            SuperWeight of each kernel, all by default: see
            `search.GradientRecorder`.
        ensemble, weight_decay, decay_batch_norm: As for `SuperWeightNetwork`.
            The weight decay defaults to the papers' 5e-4.
        **settings: `pretrain_epochs`, of which the last is recorded,
            `steps_per_epoch`, `optimizer`, `loss`, `jit_compile`,
            `callbacks`, `initial_epoch` and `verbose`: see
            `search.pretraining.pretrain`.

    Returns:
        A `Measurement`.

    Raises:
        TypeError, ValueError: As `find_clusters` does.
    """
    rule = refinement.refinable(sharing)
    pretraining.check_data(data)
    network = SuperWeightNetwork(
        members,
        budget_params=budget_params,
        sharing=rule,
        ensemble=ensemble,
        weight_decay=weight_decay,
        decay_batch_norm=decay_batch_norm,
    )
    recorder = GradientRecorder(network.generator, sketch_size=sketch_size)
    pretraining.pretrain(network, data, recorder=recorder, **settings)
    start = network.allocation
    grams = recorder.grams()
    gradients = recorder.coefficient_gradients()

    def of_clusters(measure, recorded):
        clusters = rule.start_clusters(start.members)
        return tuple(measure(start, c.kernels, recorded) for c in clusters)

    return refinement.Measurement(
        start,
        of_clusters(similarity.weight_similarity, grams),
        of_clusters(similarity.coefficient_similarity, gradients),
        unused=similarity.unused_kernels(start, grams),
    )
