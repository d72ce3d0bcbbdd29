"""Two-stage gradients, weight decay, optimizer slots and replicas."""

import keras
import tensorflow as tf


def two_stage_gradients(network, variables, x, y, sample_weight):
    """Differentiates a network's loss through generated kernels.

    First with respect to the SuperWeights' vectors and to all variables that
    generate nothing; then the vectors' gradients go through the generation,
    with one matrix product per bank, and into the stores. A recorder adds up
    the vectors' gradients.

    Returns:
        What the ensemble's `objective` returns, and the gradients in the order
        of `variables`, in which a loaded model builds its optimizer.
    """
    generator, optimizer = network.generator, network.optimizer
    stores, mixing = generator.generating_variables
    known = {id(variable) for variable in (*stores, *mixing)}
    masks = [v for v in generator.trainable_variables if id(v) not in known]
    known.update(map(id, masks))
    others = [v for v in variables if id(v) not in known]
    # Their values: what reading them gives, which may be a sample.
    sources = [[v.value for v in each] for each in (mixing, masks, others)]
    templates = generator.all_templates()
    with tf.GradientTape() as generation_tape:
        generation_tape.watch([templates, sources[0]])
        superweights = generator.superweights(templates)
    with tf.GradientTape() as loss_tape:
        loss_tape.watch([superweights, sources[1:]])
        with generator.using(superweights):
            results = network.ensemble.objective(
                network, x, y, sample_weight, training=True
            )
        scaled_loss = optimizer.scale_loss(_by_rows(results[2], x))
    of_superweights, of_masks, of_others = loss_tape.gradient(
        scaled_loss, (superweights, *sources[1:])
    )
    of_superweights = _or_zeros(of_superweights, superweights)
    of_templates, of_mixing = generation_tape.gradient(
        superweights, (templates, sources[0]), output_gradients=of_superweights
    )
    of_stores = generator.store_gradients(of_templates)
    if network.recorder is not None:
        network.recorder.update(of_superweights, loss_scale(optimizer))
    gradients = zip(
        map(id, [*stores, *mixing, *masks, *others]),
        [*of_stores, *of_mixing, *_or_zeros(of_masks, masks), *of_others],
        strict=True,
    )
    gradients = dict(gradients)
    return results, [gradients[id(v)] for v in variables]


def _by_rows(loss, x):
    """Weighs the loss of a replica by its rows.

    Keras gives the mean of each replica the same weight, so that rows of one
    that has fewer would count more.
    """
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    if replicas == 1:
        return loss
    rows = _rows(x, loss.dtype)
    total = tf.distribute.get_replica_context().all_reduce(
        tf.distribute.ReduceOp.SUM, rows
    )
    return loss * (rows * replicas / total)


def _rows(x, dtype):
    return tf.cast(tf.shape(keras.tree.flatten(x)[0])[0], dtype)


def _or_zeros(gradients, values):
    """Replaces missing gradients, such as those of frozen layers, by zeros."""
    return [
        tf.zeros_like(tf.convert_to_tensor(value)) if g is None else g
        for g, value in zip(gradients, values, strict=True)
    ]


def add_weight_decay(
    gradients, variables, weight_decay, optimizer, undecayed=()
):
    """Returns gradients plus `weight_decay * variable`, as a list.

    Coupled decay, as if `weight_decay / 2 * sum(variable ** 2)` were part of
    the loss. Applying gradients sums them over replicas and divides them by
    the loss scale, so the decay is divided by the number of replicas and
    multiplied by the loss scale. `undecayed` are ids of variables.
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


def apply(optimizer, gradients, variables, generator):
    """Updates variables by their gradients.

    The generator's rates are factors of updates, not of gradients: so they act
    as factors of the learning rate do, also in optimizers that are blind to
    the scale of gradients, such as Adam.
    """
    rates = generator.rates
    before = [tf.identity(variable) for variable, _ in rates]
    optimizer.apply_gradients(zip(gradients, variables, strict=True))
    for (variable, rate), start in zip(rates, before, strict=True):
        variable.assign(start + rate * (variable - start))


def loss_scale(optimizer):
    """Returns the factor by which an optimizer scales the loss, or `None`."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return optimizer.scale_loss(tf.constant(1.0))
    return None


def undecayed_variables(generator, layers, decay_batch_norm):
    """Returns the ids of variables that weight decay does not apply to.

    They are all variables of the generator except its banks' stores, and
    those of batch normalization among `layers` unless `decay_batch_norm`.
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


def average_over_replicas(variables, x):
    """Sets variables to their mean over the rows of all replicas' inputs.

    In one reduction; call it in a replica context. Does nothing if there is
    one replica. A replica without rows, whose statistics are NaN, counts
    nothing.
    """
    variables = list(variables)
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    if replicas == 1 or not variables:  # a reduction of nothing fails
        return
    rows = _rows(x, "float32")
    *sums, total = tf.distribute.get_replica_context().all_reduce(
        tf.distribute.ReduceOp.SUM,
        # Collectives need the device, which the bare value does not have.
        [
            tf.math.multiply_no_nan(tf.identity(v), tf.cast(rows, v.dtype))
            for v in variables
        ]
        + [rows],
    )
    for variable, value in zip(variables, sums, strict=True):
        variable.assign(value / tf.cast(total, variable.dtype))


def statistics(layers, variables):
    """Returns the untrained float `variables` that no frozen layer owns."""
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
    """Copies rows of a variable's slots in a built optimizer.

    `sources` names, for each row, the row that it becomes a copy of.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    place = optimizer._get_variable_index(variable)
    count = len(optimizer._trainable_variables)
    for slots in vars(optimizer).values():
        # Slots are lists in the order of the variables; their names depend
        # on the optimizer.
        if not isinstance(slots, list) or len(slots) != count:
            continue
        slot = slots[place]
        if slot is variable or slot is None:
            continue
        # A slot factored by columns (Adafactor) has no rows.
        rows = tuple(slot.shape)
        if rows and rows == tuple(variable.shape[: len(rows)]):
            slot.assign(tf.gather(slot, sources))
