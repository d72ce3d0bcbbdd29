"""Gradients in two stages, weight decay and averages over replicas."""

import keras
import tensorflow as tf


def two_stage_gradients(
    loss, variables, generator, superweights, loss_tape, generation_tape
):
    """Differentiates the loss through generated kernels.

    First with respect to the pieces of all kernels and to all variables that
    generate nothing; then the pieces' gradients go through the generation,
    one matrix product a bank.

    Args:
        loss: Scalar, computed under `loss_tape`.
        variables: The trainable variables of the network.
        generator: Its `KernelGenerator`.
        superweights: What `generator.superweights()` returned under
            `generation_tape`, watched by `loss_tape`.
        loss_tape: Tape around everything from `superweights` to `loss`.
        generation_tape: Tape around the generation.

    Returns:
        The gradients, in the order of `variables`, in which they have to be
        applied since a loaded model builds its optimizer in it; and those of
        `superweights`.
    """
    generating = generator.generating_variables
    known = {id(variable) for variable in generating}
    masks = [v for v in generator.trainable_variables if id(v) not in known]
    known.update(map(id, masks))
    others = [v for v in variables if id(v) not in known]
    of_superweights, of_masks, of_others = loss_tape.gradient(
        loss, (superweights, masks, others)
    )
    of_superweights = _or_zeros(of_superweights, superweights)
    of_generating = generation_tape.gradient(
        superweights, generating, output_gradients=of_superweights
    )
    of_generator = [*of_generating, *_or_zeros(of_masks, masks)]
    gradients = {
        id(variable): gradient
        for variable, gradient in zip(
            [*generating, *masks, *others],
            [*of_generator, *of_others],
            strict=True,
        )
    }
    return [gradients[id(v)] for v in variables], of_superweights


def _or_zeros(gradients, values):
    """Zeros for what has no path to the loss, as if its layer is frozen."""
    return [
        tf.zeros_like(tf.convert_to_tensor(value)) if g is None else g
        for g, value in zip(gradients, values, strict=True)
    ]


def add_weight_decay(
    gradients, variables, weight_decay, optimizer, undecayed=()
):
    """Adds `weight_decay * variable` to gradients that will be applied.

    Coupled decay, as if `weight_decay / 2 * sum(variable ** 2)` were part of
    the loss: it goes through momentum, as in the papers' recipes. Gradients
    are summed over replicas and divided by the loss scale when they are
    applied, so the decay is divided by the one and multiplied by the other.

    Args:
        gradients: One gradient, or `None`, per variable.
        variables: Trainable variables.
        weight_decay: The decay.
        optimizer: What will apply the gradients.
        undecayed: The ids of variables that do not decay.

    Returns:
        A list of gradients.
    """
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    decayed = []
    for gradient, variable in zip(gradients, variables, strict=True):
        if gradient is not None and id(variable) not in undecayed:
            decay = optimizer.scale_loss(
                tf.constant(weight_decay / replicas, variable.dtype)
            )
            gradient = tf.convert_to_tensor(gradient) + decay * variable
        decayed.append(gradient)
    return decayed


def loss_scale(optimizer):
    """What an optimizer multiplies the loss by; `None` if it does not."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return optimizer.scale_loss(tf.constant(1.0))
    return None


def undecayed_variables(generator, layers, decay_batch_norm):
    """The ids of variables that weight decay leaves alone.

    They are coefficients, what they are computed from, and masks; and the
    scales and offsets of batch normalization, if `decay_batch_norm` is false.

    Args:
        generator: A network's `KernelGenerator`.
        layers: All layers of the network.
        decay_batch_norm: Whether batch normalization decays.
    """
    stores = {id(bank.store) for bank in generator.banks}
    variables = [
        v for v in generator.trainable_variables if id(v) not in stores
    ]
    if not decay_batch_norm:
        variables += [
            variable
            for layer in layers
            if isinstance(layer, keras.layers.BatchNormalization)
            for variable in layer.trainable_variables
        ]
    return frozenset(map(id, variables))


def average_over_replicas(variables):
    """Sets variables to their mean over all replicas, in one reduction.

    To be called in a replica. Does nothing where there is only one.
    """
    variables = list(variables)
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    if replicas == 1 or not variables:  # a reduction of nothing fails
        return
    means = tf.distribute.get_replica_context().all_reduce(
        tf.distribute.ReduceOp.MEAN,
        # The value alone has no device, which a collective has to know.
        [tf.identity(variable) for variable in variables],
    )
    for variable, mean in zip(variables, means, strict=True):
        variable.assign(mean)


def statistics(layers, variables):
    """The variables that layers update themselves, to be averaged so.

    Args:
        layers: All layers that have them.
        variables: Variables that are not trained.

    Returns:
        A list of those that are floats and not of a frozen layer.
    """
    frozen = {
        id(variable)
        for layer in layers
        if not layer.trainable
        for variable in layer.variables
    }
    return [
        variable
        for variable in variables
        if keras.backend.is_float_dtype(variable.dtype)
        and id(variable) not in frozen
    ]


def move_slot_rows(optimizer, variable, sources):
    """Sets each row of a variable's optimizer slots to another of its rows.

    Args:
        optimizer: A built Keras optimizer.
        variable: The variable whose momentum and the like are moved.
        sources: For each row, the row that it becomes a copy of.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    place = optimizer._get_variable_index(variable)
    count = len(optimizer._trainable_variables)
    for slots in vars(optimizer).values():
        # Slots are lists in the order of the variables, under names that
        # differ from optimizer to optimizer.
        if not isinstance(slots, list) or len(slots) != count:
            continue
        slot = slots[place]
        if slot is variable or slot is None:
            continue
        # A slot that is factored by columns (Adafactor) has no rows.
        rows = tuple(slot.shape)
        if rows and rows == tuple(variable.shape[: len(rows)]):
            slot.assign(tf.gather(slot, sources))
