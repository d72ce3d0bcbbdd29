"""What training on several replicas needs of a model besides Keras' own.

`tf.distribute.MultiWorkerMirroredStrategy` runs one process a worker, and each
sees only the values of its own replicas. Keras 3 takes some of its answers for
those of a strategy that sees all replicas.
"""

import keras
import numpy as np
import tensorflow as tf

# Values with a shape and a dtype, or what says so of them.
_PLAIN = (np.ndarray, tf.Tensor, tf.TensorSpec)


class DistributedFit:
    """Lets `fit`, `evaluate` and `predict` run on several replicas and workers.

    For a `keras.Model` whose layers are built when it is made. On one replica
    it computes what Keras computes, and traces its first step once, where
    Keras traces it twice.
    """

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Makes the variables of the optimizer and of metrics.

        Without a strategy Keras leaves that to the first step. A function that
        makes variables while it is traced is traced again: of the eleven
        seconds of the first step of a ResNet50 on a CPU, that took four.
        """
        compiled = (self._compile_loss, self._compile_metrics, self.optimizer)
        if all(each is None or each.built for each in compiled):
            return
        if iterator is not None:
            # A batch, as Keras takes one under a strategy, would be missing
            # in training if it came from a generator.
            data_batch = keras.tree.map_structure(
                _of_first_replica, iterator._distributed_dataset.element_spec
            )
        elif self._distribute_strategy is not None:
            super()._maybe_symbolic_build(iterator, data_batch)
            return
        # Sparse tensors and eager steps are left to the first step.
        is_plain = all(
            value is None or isinstance(value, _PLAIN)
            for value in keras.tree.flatten(data_batch)
        )
        is_traced = is_plain and not self.run_eagerly
        if is_traced or self._distribute_strategy is not None:
            with self.distribute_strategy.scope():
                self._symbolic_build(data_batch=data_batch)

    def _make_function(self, step_function):
        if not is_multi_worker(self.distribute_strategy):
            return super()._make_function(step_function)
        if self.steps_per_execution != 1:
            # TensorFlow cannot have a collective in a loop inside a graph.
            raise ValueError(
                "`steps_per_execution` must be 1 under "
                "`MultiWorkerMirroredStrategy`. Received: "
                f"steps_per_execution={self.steps_per_execution}."
            )

        # Keras reduces every log on its own, along a first axis that scalars
        # do not have; in one row they cost one reduction.
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
        """A test step, of a replica that may have no row of the last batch."""
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


def _of_first_replica(spec):
    """What a `tf.TypeSpec` says of one replica; None of what is not given."""
    if issubclass(spec.value_type, tf.distribute.DistributedValues):
        spec = spec._component_specs[0]
    return None if isinstance(spec, tf.OptionalSpec) else spec


def _shape(value):
    return tf.TensorSpec(value.shape, value.dtype)


def _as_row(values):
    """Values of any shapes as one of shape `(1, scalars)`."""
    flat = [tf.reshape(tf.cast(v, "float32"), [1, -1]) for v in values]
    return tf.concat(flat, axis=1)


def _from_row(row, template):
    """Undoes `_as_row`, of a row that has lost its first axis."""
    specs = keras.tree.flatten(template)
    values = tf.split(row, [spec.shape.num_elements() for spec in specs])
    return keras.tree.pack_sequence_as(
        template,
        [tf.reshape(v, s.shape) for v, s in zip(values, specs, strict=True)],
    )


def _with_a_row(values, missing):
    """Zeros after the rows there are."""
    return tf.pad(values, [[0, missing]] + [[0, 0]] * (values.shape.rank - 1))


def is_multi_worker(strategy):
    """Whether a strategy has workers that this process does not see."""
    return (
        isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
        and strategy.extended._in_multi_worker_mode()
    )
