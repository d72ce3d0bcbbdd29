"""Anytime prediction: the best answer that fits, and the answer so far."""

import statistics
import time

import keras
import numpy as np
import tensorflow as tf

from keras_superweights.ensembles import Classifier
from keras_superweights.metrics.evaluation import pareto_frontier
from keras_superweights.training.network import SuperWeightNetwork

_NUM_WARM_UPS = 3


def measure_latency(network, batch_size=1, num_repeats=30):
    """Measures how long each member takes for one example.

    What is measured is what is deployed: the plain models of
    `network.materialize()`, compiled by `tf.function`, each alone, from its
    input to outputs in main memory. Members take turns, so that a change in
    the machine's load meets all of them; the median is taken after three
    calls to warm up.

    Args:
        network: A `SuperWeightNetwork`, or a list of Keras models with known
            input shapes.
        batch_size: Examples per call. Defaults to 1, the latency of a single
            request; larger ones share the cost of a call.
        num_repeats: Calls that are measured. Defaults to 30.

    Returns:
        A list of one float per member: milliseconds per example, that is, of
        a call divided by `batch_size`.

    Raises:
        TypeError: If `network` is something else.
        ValueError: If a count is not positive, or a member has not one input
            of known size.

    Example:

    ```python
    plain = network.materialize()
    report = ksw.metrics.evaluate_members(
        logits, labels, flops, milliseconds=measure_latency(plain)
    )
    ```
    """
    for argument, value in (
        ("batch_size", batch_size),
        ("num_repeats", num_repeats),
    ):
        if value < 1:
            raise ValueError(
                f"`{argument}` must be at least 1. "
                f"Received: {argument}={value}."
            )
    members = _plain_members(network)
    calls = [
        (_compiled(member), _blank_inputs(member, batch_size))
        for member in members
    ]
    seconds = [[] for _ in members]
    for _ in range(_NUM_WARM_UPS + num_repeats):
        for (call, inputs), of_member in zip(calls, seconds, strict=True):
            start = time.perf_counter()
            # To main memory, since a GPU returns before it is done.
            np.asarray(call(inputs))
            of_member.append(time.perf_counter() - start)
    return [
        1000 * statistics.median(of_member[_NUM_WARM_UPS:]) / batch_size
        for of_member in seconds
    ]


class AnytimePredictor:
    """Predicts with the best subset of the members that fits a limit.

    The subset is the one with the highest accuracy in the anytime table among
    those that cost no more than the limit; of equally accurate ones, the
    cheapest. Its members answer one after the other, the cheapest first, and
    the answer after `k` of them is that of the ensemble of these `k`, as the
    network's kind combines them, such as `log(mean softmax(logits))`: whoever
    cannot wait any longer stops and uses the last one.

    Args:
        network: A `SuperWeightNetwork`, materialized once, or a list of plain
            Keras models that return logits, an `ensembles.Classifier`.
        anytime: The anytime table, `"anytime"` in the result of
            `metrics.evaluate_members`: one dict a subset, with `"members"`,
            `"accuracy"` and `"flops"` or `"milliseconds"` or both. Make it
            with examples that are not those of the test: a choice is made.

    Raises:
        TypeError: If `network` is something else.
        ValueError: If the table is not that of these members: one is missing
            or not there.

    Example:

    ```python
    predictor = AnytimePredictor(network, report["anytime"])
    for log_probabilities in predictor.answers(images, milliseconds=5):
        if time_is_up():
            break
    classes = log_probabilities.numpy().argmax(axis=-1)
    ```

    References:
        - Learning to Compose SuperWeights for Neural Parameter Allocation
          Search (SWN), supplement, section 3.1
    """

    def __init__(self, network, anytime):
        members = _plain_members(network)
        self._kind = getattr(network, "ensemble", None) or Classifier()
        self.anytime = list(anytime)
        self._names = [member.name for member in members]
        self._calls = [_compiled(member) for member in members]
        self._alone = {
            point["members"][0]: point
            for point in self.anytime
            if len(point["members"]) == 1
        }
        named = {i for point in self.anytime for i in point["members"]}
        expected = set(range(len(members)))
        if set(self._alone) != expected or named != expected:
            raise ValueError(
                "`anytime` must hold every one of the "
                f"{len(members)} members alone, and no other. Received: "
                f"{sorted(self._alone)} alone, {sorted(named)} in all."
            )

    def choose(self, *, flops=None, milliseconds=None):
        """Returns the row of the table that is best within a limit.

        Args:
            flops: The most FLOPs for one example.
            milliseconds: Instead, the most milliseconds for one example, at
                the batch size that the table was measured with.

        Raises:
            ValueError: If not exactly one limit is given, the table does not
                have that cost, or not even the cheapest member fits.
        """
        cost, limit = _one_limit(flops, milliseconds)
        frontier = pareto_frontier(self.anytime, cost)
        fitting = [point for point in frontier if point[cost] <= limit]
        if not fitting:
            member = min(self._alone, key=lambda m: self._alone[m][cost])
            figure = self._alone[member][cost]
            raise ValueError(
                f"`{cost}` must be at least {figure:,}, what the cheapest "
                f"member needs for one example: member {member}, "
                f"'{self._names[member]}'. Received: {cost}={limit:,}."
            )
        return fitting[-1]

    def answers(self, inputs, *, flops=None, milliseconds=None):
        """Predicts with the best subset that fits, member by member.

        Args:
            inputs: A batch, as the members take it.
            flops, milliseconds: The limit, as for `choose`.

        Returns:
            An iterator of predictions, of a classifier log-probabilities
            `(batch, classes)`: of the cheapest member of the subset, of the
            two cheapest, ..., of all. A member runs when its answer is asked
            for.

        Raises:
            ValueError: As `choose`, at once.
        """
        cost, _ = _one_limit(flops, milliseconds)
        chosen = self.choose(flops=flops, milliseconds=milliseconds)
        order = sorted(chosen["members"], key=lambda m: self._alone[m][cost])
        return self._one_by_one(inputs, order)

    def _one_by_one(self, inputs, order):
        inputs = tf.convert_to_tensor(inputs)
        outputs = []
        for member in order:
            outputs.append(self._calls[member](inputs))
            yield self._kind.prediction(outputs)


def _one_limit(flops, milliseconds):
    limits = {"flops": flops, "milliseconds": milliseconds}
    given = {cost: x for cost, x in limits.items() if x is not None}
    if len(given) != 1:
        raise ValueError(
            "Exactly one limit must be given, `flops` or `milliseconds`. "
            f"Received: flops={flops}, milliseconds={milliseconds}."
        )
    return given.popitem()


def _plain_members(network):
    if isinstance(network, SuperWeightNetwork):
        return network.materialize()
    if (
        isinstance(network, (list, tuple))
        and network
        and all(isinstance(member, keras.Model) for member in network)
    ):
        return list(network)
    raise TypeError(
        "`network` must be a SuperWeightNetwork, or a list of at least one "
        f"keras.Model. Received: {network!r} of type {type(network)}."
    )


def _compiled(member):
    @tf.function(reduce_retracing=True)
    def call(inputs):
        return member(inputs, training=False)

    return call


def _blank_inputs(member, batch_size):
    shapes = [tensor.shape for tensor in getattr(member, "inputs", [])]
    if len(shapes) != 1 or None in shapes[0][1:]:
        raise ValueError(
            "Every member must have one input of known size, to be measured. "
            f"Received: '{member.name}' with inputs {shapes}."
        )
    return tf.zeros((batch_size, *shapes[0][1:]), member.inputs[0].dtype)
