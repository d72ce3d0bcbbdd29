"""Pretraining for a measurement."""

import collections.abc
import math

import keras

from keras_superweights.arguments import check_integer
from keras_superweights.arguments import check_type
from keras_superweights.arguments import quoted
from keras_superweights.training.finite import NotFiniteError
from keras_superweights.training.finite import check_epoch


def pretrain(
    network,
    data,
    pretrain_epochs=20,
    steps_per_epoch=None,
    optimizer=None,
    loss=None,
    jit_compile="auto",
    callbacks=(),
    initial_epoch=0,
    verbose="auto",
    recorder=None,
):
    """Compiles a network and trains it to the last epoch, or raises an error.

    Args:
        network: The `SuperWeightNetwork`.
        data: As for `search.find_clusters`.
        pretrain_epochs: Number of epochs. Defaults to 20.
        steps_per_epoch: Batches per epoch. Needed when `data` holds all
            epochs in a row; by default an epoch is all of `data`.
        optimizer: Defaults to the papers' SGD: rate 0.1, Nesterov momentum
            0.9.
        loss: Defaults to `SparseCategoricalCrossentropy(from_logits=True)`.
        jit_compile: As for `compile`: whether XLA compiles steps.
        callbacks: Keras callbacks, such as `BackupAndRestore`, with which an
            interrupted pretraining continues at its last finished epoch.
        initial_epoch: As for `fit`, for callbacks that restore the network
            when training begins; `data` then begins with that epoch. Defaults
            to 0.
        verbose: As for `fit`.
        recorder: A `GradientRecorder` for the last epoch. None by default.

    Raises:
        TypeError: If an argument has the wrong type; the data are arrays, say.
        ValueError: If `pretrain_epochs` is not a positive integer, the data
            ends within an epoch, the loss or a weight is not finite, or the
            last epoch is not trained here.
    """
    check_data(data)
    check_integer("pretrain_epochs", pretrain_epochs)
    are_callbacks = isinstance(callbacks, (list, tuple)) and all(
        isinstance(each, keras.callbacks.Callback) for each in callbacks
    )
    expected = "a list of Keras callbacks"
    check_type("callbacks", callbacks, are_callbacks, expected)
    if optimizer is None:
        optimizer = keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True)
    if loss is None:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    check_known("optimizer", optimizer, keras.optimizers.get)
    check_known("loss", loss, keras.losses.get)
    network.compile(optimizer, loss, jit_compile=jit_compile)
    watch = _Watch(recorder, pretrain_epochs, steps_per_epoch)
    network.fit(
        data,
        initial_epoch=initial_epoch,
        epochs=pretrain_epochs,
        steps_per_epoch=steps_per_epoch,
        # First: an epoch that it refuses must not be backed up.
        callbacks=[watch, *callbacks],
        shuffle=False,
        verbose=verbose,
    )
    watch.check_completed()


def check_known(argument, value, get):
    """Raises an error unless Keras' `get` knows what the value means."""
    try:
        get(value)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`{argument}` must be one that Keras knows, or its name. "
            f"Received: {argument}={quoted(value)}."
        ) from error


def check_data(data):
    """Raises an error for arrays and anything else without batches."""
    if (
        not isinstance(data, collections.abc.Iterable)
        or isinstance(data, (str, list, tuple, dict))
        or hasattr(data, "shape")
    ):
        raise TypeError(
            "`data` must be a `tf.data.Dataset` of batches, or anything else "
            "that gives batches to `fit`, such as a `keras.utils.PyDataset`. "
            f"Received: data of type {type(data).__name__}. Of arrays, make "
            "one with "
            "`tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x))"
            ".batch(64)`."
        )


class _Watch(keras.callbacks.Callback):
    """Records gradients in the last epoch, which must be trained here."""

    def __init__(self, recorder, epochs, steps_per_epoch):
        super().__init__()
        self._recorder = recorder
        self._epochs = epochs
        self._steps_per_epoch = steps_per_epoch
        self._epoch = None
        self._steps = 0

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        self._steps = 0
        if self._recorder is not None and epoch == self._epochs - 1:
            self.model.record_gradients(self._recorder)

    def on_train_batch_end(self, batch, logs=None):
        self._steps += 1
        if not math.isfinite(logs["loss"]):
            raise NotFiniteError(
                "The loss must stay finite during pretraining. Received: "
                f"loss={logs['loss']} after step {self._steps} of epoch "
                f"{self._epoch + 1}. Lower the learning rate, or look at the "
                "data; what was saved after the epochs before is kept."
            )

    def on_epoch_end(self, epoch, logs=None):
        expected = self._steps_per_epoch or max(self._steps, 1)
        if self._steps != expected:
            raise ValueError(
                "`data` must last for every epoch of the pretraining. "
                f"Received: data that ended after {self._steps} of "
                f"{expected} steps of epoch {epoch + 1} of {self._epochs}. "
                "Repeat it, or lower `steps_per_epoch` or `pretrain_epochs`."
            )
        check_epoch(self.model, epoch)

    def on_train_end(self, logs=None):
        if self._recorder is not None:
            self.model.record_gradients(None)

    def check_completed(self):
        if self._epoch != self._epochs - 1:
            ended = 0 if self._epoch is None else self._epoch + 1
            raise ValueError(
                "The last epoch of the pretraining must be trained here, since "
                f"it is measured. Received: training that ended with epoch "
                f"{ended} of {self._epochs}, or `callbacks` that resumed after "
                "the last one, whose record is lost: then delete their backup."
            )
