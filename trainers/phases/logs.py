"""The lines that a run prints."""

import time

import keras


class EpochLine(keras.callbacks.Callback):
    """Prints one line per epoch about the whole network.

    `name` is the first word of each line, `part` names the data that epochs
    are measured on.
    """

    def __init__(self, name="epoch", part=None):
        super().__init__()
        self._name = name
        self._part = part

    def on_epoch_begin(self, epoch, logs=None):
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.perf_counter() - self._began
        epochs = self.params["epochs"]
        done = f"{self._name} {epoch + 1:{len(str(epochs))}}/{epochs}"
        told = f"loss {logs['loss']:.4f}"
        if "val_loss" in logs:
            told = (
                f"accuracy {logs['accuracy']:7.2%}"
                f"  {self._part}: accuracy {logs['val_accuracy']:7.2%}"
                f"  loss {logs['val_loss']:.4f}"
            )
        print(f"{done}  {seconds:5.1f} s  {told}", flush=True)
