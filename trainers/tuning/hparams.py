"""Trials in TensorBoard's HParams."""

import tensorflow as tf
from tensorboard.plugins.hparams import api
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams import summary

_SUFFIX = ".hparams"

# In column order, by the names of metrics.json.
METRICS = {
    "accuracy": "accuracy",
    "nll": "NLL",
    "ece": "ECE",
    "trainable_parameters": "parameters",
    "budget_params": "budget",
}


def write_columns(directory, values, varied):
    """Declares the columns of hyperparameters and metrics, in order.

    `values` holds an example of each hyperparameter; those named in `varied`
    differ between trials.
    """
    columns = [
        api_pb2.HParamInfo(
            name=name,
            type="DATA_TYPE_STRING"
            if isinstance(value, str)
            else "DATA_TYPE_FLOAT64",
            differs=name in varied,
        )
        for name, value in values.items()
    ]
    tags = {name: api_pb2.MetricName(tag=name) for name in METRICS}
    metrics = [
        api_pb2.MetricInfo(name=tags[name], display_name=shown)
        for name, shown in METRICS.items()
    ]
    with _writer(directory):
        _write(summary.experiment_pb(columns, metrics))


def write_trial(directory, values, metrics):
    """Adds or replaces a trial, in its directory inside the tuning's.

    `values` are its hyperparameters, numbers or text; of `metrics`, those of
    `METRICS` are shown; a trial that failed has none.
    """
    status = api_pb2.STATUS_SUCCESS if metrics else api_pb2.STATUS_FAILURE
    with _writer(directory):
        api.hparams(values, trial_id=directory.name)
        for name in METRICS:
            if name in metrics:
                tf.summary.scalar(name, metrics[name], step=0)
        _write(summary.session_end_pb(status))


def _write(message):
    tf.summary.experimental.write_raw_pb(message.SerializeToString(), step=0)


def _writer(directory):
    """Makes a default writer to a new file that replaces any earlier one."""
    for file in directory.glob(f"*{_SUFFIX}"):
        file.unlink()
    return tf.summary.create_file_writer(
        str(directory), filename_suffix=_SUFFIX
    ).as_default()
