"""Training on several replicas and workers, beyond what Keras supports.

`tf.distribute.MultiWorkerMirroredStrategy` runs one process per worker, each of
which sees only its own replicas' values. Keras 3 assumes a strategy that sees
all replicas.
"""

import functools
import inspect

import keras
import numpy as np
import tensorflow as tf

from keras_superweights.arguments import check_integer
from keras_superweights.arguments import check_number
from keras_superweights.arguments import check_type

# Values, or specs of values, with one shape and dtype.
_PLAIN = (np.ndarray, tf.Tensor, tf.TensorSpec)

# Counts of `fit`, `evaluate` and `predict`, and the least of each.
_COUNTS = {
    "batch_size": 1,
    "steps": 1,
    "steps_per_epoch": 1,
    "validation_batch_size": 1,
    "validation_steps": 1,
}


class DistributedFit:
    """Lets `fit`, `evaluate` and `predict` run on several replicas and workers.

    For a `keras.Model` whose layers are built in its constructor. On one
    replica, results equal those of Keras, but the first step is traced once
    instead of twice. Counts and callbacks are checked before anything runs.
    """

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Makes the variables of the optimizer and metrics.

        Without a strategy Keras makes them in the first step, which is then
        traced twice: for a ResNet50 on a CPU, 11 seconds instead of 7.
        """
        compiled = (self._compile_loss, self._compile_metrics, self.optimizer)
        if all(each is None or each.built for each in compiled):
            return
        if iterator is not None:
            # Not a batch, as Keras takes under a strategy: a generator would
            # lose it for training.
            data_batch = keras.tree.map_structure(
                _of_first_replica, iterator._distributed_dataset.element_spec
            )
        elif self._distribute_strategy is not None:
            super()._maybe_symbolic_build(iterator, data_batch)
            return
        # With sparse tensors or eager steps, the first step makes them.
        is_plain = all(
            value is None or isinstance(value, _PLAIN)
            for value in keras.tree.flatten(data_batch)
        )
        is_traced = is_plain and not self.run_eagerly
        if is_traced or self._distribute_strategy is not None:
            with self.distribute_strategy.scope():
                self._symbolic_build(data_batch=data_batch)

    @functools.wraps(keras.Model.fit)
    def fit(self, *args, **kwargs):
        _check_loop(keras.Model.fit, self, *args, **kwargs)
        return super().fit(*args, **kwargs)

    @functools.wraps(keras.Model.evaluate)
    def evaluate(self, *args, **kwargs):
        _check_loop(keras.Model.evaluate, self, *args, **kwargs)
        return super().evaluate(*args, **kwargs)

    @functools.wraps(keras.Model.predict)
    def predict(self, *args, **kwargs):
        _check_loop(keras.Model.predict, self, *args, **kwargs)
        return super().predict(*args, **kwargs)

    def _make_function(self, step_function):
        strategy = self.distribute_strategy
        if strategy.num_replicas_in_sync > 1 and self.steps_per_execution != 1:
            # TensorFlow does not support collectives in a loop in a graph.
            raise ValueError(
                "`steps_per_execution` must be 1 with several replicas. "
                f"Received: steps_per_execution={self.steps_per_execution} "
                f"under `{type(strategy).__name__}`. Compile without it."
            )
        if not is_multi_worker(strategy):
            return super()._make_function(step_function)

        # Keras reduces each log along a first axis, which scalars do not have;
        # as one row, all logs need one reduction.
        templates = []

        def step(data):
            logs = step_function(data)
            templates[:] = [keras.tree.map_structure(_shape, logs)]
            return _as_row(keras.tree.flatten(logs))

        reduced_step = super()._make_function(step)

        def function(iterator):
            row = reduced_step(iterator)
            return _from_row(row, templates[0])

        return function

    def make_test_function(self, force=False):
        if self.test_function is None or force:
            self.test_function = self._make_function(self._test_step_of_rows)

    def _test_step_of_rows(self, data):
        """Tests one batch, of which a replica may have no rows."""
        if self.distribute_strategy.num_replicas_in_sync == 1:
            return self.test_step(data)
        rows = tf.shape(keras.tree.flatten(data)[0])[0]
        return tf.cond(
            rows > 0, lambda: self.test_step(data), self.get_metrics_result
        )

    def predict_step(self, data):
        if self.distribute_strategy.num_replicas_in_sync == 1:
            return super().predict_step(data)
        rows = tf.shape(keras.tree.flatten(data)[0])[0]
        missing = tf.maximum(1 - rows, 0)
        outputs = super().predict_step(
            keras.tree.map_structure(lambda v: _with_a_row(v, missing), data)
        )
        return keras.tree.map_structure(lambda v: v[:rows], outputs)


def _check_loop(method, *args, **kwargs):
    """Checks numbers and callbacks, which Keras takes as they come."""
    given = inspect.signature(method).bind(*args, **kwargs).arguments
    for argument, least in _COUNTS.items():
        if given.get(argument) is not None:
            check_integer(argument, given[argument], least)
    for argument in ("epochs", "initial_epoch"):
        check_integer(argument, given.get(argument, 0), least=0)
    check_number("validation_split", given.get("validation_split", 0), below=1)
    frequency = given.get("validation_freq", 1)
    if not isinstance(frequency, (list, tuple, set)):
        check_integer("validation_freq", frequency)
    weights = given.get("class_weight")
    is_dict = weights is None or isinstance(weights, dict)
    check_type("class_weight", weights, is_dict, "a dict")
    callbacks = given.get("callbacks")
    kinds = (keras.callbacks.Callback, keras.callbacks.CallbackList, type(None))
    are_callbacks = all(
        isinstance(each, kinds) for each in keras.tree.flatten(callbacks)
    )
    check_type("callbacks", callbacks, are_callbacks, "Keras callbacks")


def _of_first_replica(spec):
    """Returns one replica's `tf.TypeSpec`; None if it is optional."""
    if issubclass(spec.value_type, tf.distribute.DistributedValues):
        spec = spec._component_specs[0]
    return None if isinstance(spec, tf.OptionalSpec) else spec


def _shape(value):
    return tf.TensorSpec(value.shape, value.dtype)


def _as_row(values):
    """Concatenates values of any shapes into one of shape `(1, scalars)`."""
    flat = [tf.reshape(tf.cast(v, "float32"), [1, -1]) for v in values]
    return tf.concat(flat, axis=1)


def _from_row(row, template):
    """Undoes `_as_row`, given the row without its first axis."""
    specs = keras.tree.flatten(template)
    values = tf.split(row, [spec.shape.num_elements() for spec in specs])
    return keras.tree.pack_sequence_as(
        template,
        [tf.reshape(v, s.shape) for v, s in zip(values, specs, strict=True)],
    )


def _with_a_row(values, missing):
    """Appends `missing` rows of zeros."""
    return tf.pad(values, [[0, missing]] + [[0, 0]] * (values.shape.rank - 1))


def is_multi_worker(strategy):
    """Returns whether a strategy has several workers."""
    return (
        isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
        and strategy.extended._in_multi_worker_mode()
    )
