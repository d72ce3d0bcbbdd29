"""Anytime prediction: the best subset within a limit, and answers so far."""

import statistics
import time

import keras
import numpy as np
import tensorflow as tf

from keras_superweights.arguments import as_tuple
from keras_superweights.arguments import check_integer
from keras_superweights.arguments import check_number
from keras_superweights.arguments import is_integer
from keras_superweights.arguments import quoted
from keras_superweights.ensembles import Classifier
from keras_superweights.metrics.evaluation import COSTS
from keras_superweights.metrics.evaluation import pareto_frontier
from keras_superweights.training.network import SuperWeightNetwork

_NUM_WARM_UPS = 3


def measure_latency(network, batch_size=1, num_repeats=30):
    """Measures each member's latency for one example.

    Measures the plain models of `network.materialize()`, compiled by
    `tf.function`, each alone, from its input to outputs in main memory.
    Members take turns, so that changes in the machine's load affect them all;
    the result is the median after three warm-up calls.

    Args:
        network: A `SuperWeightNetwork`, or a list of Keras models with known
            input shapes.
        batch_size: Examples per call. Defaults to 1, the latency of a single
            request; larger batches share the cost of a call.
        num_repeats: Number of calls to measure. Defaults to 30.

    Returns:
        A list of one float per member: milliseconds per example, the time of
        a call divided by `batch_size`.

    Raises:
        TypeError: If `network` is something else, or a count no integer.
        ValueError: If a count is not positive, or a member does not have
            exactly one input of known size.

    Example:

    ```python
    plain = network.materialize()
    report = ksw.metrics.evaluate_members(
        logits, labels, flops, milliseconds=measure_latency(plain)
    )
    ```
    """
    check_integer("batch_size", batch_size)
    check_integer("num_repeats", num_repeats)
    members = _plain_members(network)
    calls = [
        (_compiled(member), _blank_inputs(member, batch_size))
        for member in members
    ]
    seconds = [[] for _ in members]
    for _ in range(_NUM_WARM_UPS + num_repeats):
        for (call, inputs), times in zip(calls, seconds, strict=True):
            start = time.perf_counter()
            # A GPU returns before it is done; main memory waits for it.
            np.asarray(call(inputs))
            times.append(time.perf_counter() - start)
    return [
        1000 * statistics.median(times[_NUM_WARM_UPS:]) / batch_size
        for times in seconds
    ]


class AnytimePredictor:
    """Predicts with the best subset of the members that fits a limit.

    Of the subsets in the anytime table that cost no more than the limit, it
    uses the most accurate one, and the cheapest of equally accurate ones. Its
    members run one after the other, the cheapest first. After each, the answer
    is the ensemble's of the members so far, combined by the network's kind,
    for example `log(mean softmax(logits))`. A caller that cannot wait any
    longer stops and uses the last answer.

    Args:
        network: A `SuperWeightNetwork`, materialized once, or a list of plain
            Keras models that return logits, as an `ensembles.Classifier`.
        anytime: The anytime table, `"anytime"` in the result of
            `metrics.evaluate_members`: one dict per subset, with `"members"`,
            `"accuracy"` and `"flops"`, `"milliseconds"` or both. Measure it on
            examples outside the test split: it is used to choose.

    Raises:
        TypeError: If `network` is something else.
        ValueError: If the table lacks a member or has an unknown one, or a row
            has no members, or a cost below 0.

    Example:

    ```python
    predictor = AnytimePredictor(network, report["anytime"])
    for log_probabilities in predictor.answers(images, milliseconds=5):
        if time_is_up():
            break
    classes = log_probabilities.numpy().argmax(axis=-1)
    ```

    References:
        - SWN, supplement, section 3.1
    """

    def __init__(self, network, anytime):
        members = _plain_members(network)
        self._kind = getattr(network, "ensemble", None) or Classifier()
        if self._kind.is_one_model:
            raise ValueError(
                f"A network of `ensemble={self._kind}` is one model, which "
                "answers at one speed: call it. Members of other kinds can be "
                "asked one after the other."
            )
        self.anytime = _checked_rows(anytime)
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
                f"`anytime` must list each of the {len(members)} members "
                f"alone, and no others. Received: {sorted(self._alone)} alone, "
                f"{sorted(named)} in total."
            )

    def choose(self, *, flops=None, milliseconds=None):
        """Returns the best row of the table within a limit.

        Args:
            flops: The most FLOPs for one example.
            milliseconds: Instead, the most milliseconds for one example, at
                the batch size of the table's measurements.

        Raises:
            ValueError: If not exactly one limit is given, the table lacks
                that cost, or not even the cheapest member fits.
        """
        cost, limit = _one_limit(flops, milliseconds)
        frontier = pareto_frontier(self.anytime, cost)
        fitting = [point for point in frontier if point[cost] <= limit]
        if not fitting:
            member = min(self._alone, key=lambda m: self._alone[m][cost])
            figure = self._alone[member][cost]
            raise ValueError(
                f"`{cost}` must be at least {figure:,}, the cost of the "
                f"cheapest member for one example: member {member}, "
                f"'{self._names[member]}'. Received: {cost}={limit:,}."
            )
        return fitting[-1]

    def answers(self, inputs, *, flops=None, milliseconds=None):
        """Predicts with the best subset that fits, member by member.

        Args:
            inputs: A batch of the members' inputs.
            flops, milliseconds: The limit, as for `choose`.

        Returns:
            An iterator of predictions, for a classifier log-probabilities
            `(batch, classes)`: of the subset's cheapest member, of its two
            cheapest members, ..., of all. A member runs only when its answer
            is requested.

        Raises:
            ValueError: As `choose`, immediately.
        """
        try:
            inputs = tf.convert_to_tensor(inputs)
        except (TypeError, ValueError) as error:
            raise TypeError(
                "`inputs` must be a batch of the members' inputs. Received: "
                f"inputs={quoted(inputs)}."
            ) from error
        cost, _ = _one_limit(flops, milliseconds)
        chosen = self.choose(flops=flops, milliseconds=milliseconds)
        order = sorted(chosen["members"], key=lambda m: self._alone[m][cost])
        return self._one_by_one(inputs, order)

    def _one_by_one(self, inputs, order):
        outputs = []
        for member in order:
            outputs.append(self._calls[member](inputs))
            yield self._kind.prediction(outputs)


def _checked_rows(anytime):
    """Returns the rows of an anytime table, each of which must be whole."""
    rows = as_tuple("anytime", anytime, dict, "a list of dicts, one per subset")
    for row in rows:
        members = row.get("members")
        is_list = isinstance(members, (list, tuple)) and len(members) > 0
        if not is_list or not all(map(is_integer, members)):
            raise ValueError(
                "Each row of `anytime` must have `members`, a list of at least "
                f"one index. Received: {quoted(row)}."
            )
        costs = [cost for cost in COSTS if cost in row]
        for key in (*costs, "accuracy"):
            check_number(f"{key} of `anytime`", row.get(key))
    return rows


def _one_limit(flops, milliseconds):
    if (flops is None) == (milliseconds is None):
        raise ValueError(
            "Exactly one limit must be given, `flops` or `milliseconds`. "
            f"Received: flops={flops}, milliseconds={milliseconds}."
        )
    limits = {"flops": flops, "milliseconds": milliseconds}
    ((cost, limit),) = ((c, v) for c, v in limits.items() if v is not None)
    check_number(cost, limit)
    return cost, limit


def _plain_members(network):
    if isinstance(network, SuperWeightNetwork):
        return network.materialize()
    is_list = isinstance(network, (list, tuple)) and len(network) > 0
    if is_list and all(isinstance(each, keras.Model) for each in network):
        return list(network)
    raise TypeError(
        "`network` must be a SuperWeightNetwork, or a list of at least one "
        f"keras.Model. Received: {network!r} of type {type(network)}."
    )


def _compiled(member):
    @tf.function(autograph=False, reduce_retracing=True)
    def call(inputs):
        return member(inputs, training=False)

    return call


def _blank_inputs(member, batch_size):
    shapes = [tensor.shape for tensor in getattr(member, "inputs", [])]
    if len(shapes) != 1 or None in shapes[0][1:]:
        raise ValueError(
            "Every member must have exactly one input of known size. "
            f"Received: '{member.name}' with inputs {shapes}."
        )
    return tf.zeros((batch_size, *shapes[0][1:]), member.inputs[0].dtype)
