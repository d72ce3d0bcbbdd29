"""What a run prints, and what it writes for TensorBoard."""

import io
import time

import keras
import tensorflow as tf


class EpochLogs(keras.callbacks.Callback):
    """Writes the numbers of every epoch, and what is shared how, as text.

    Training and validation are two runs of TensorBoard, `train` and
    `validation`, with the same tags, so that their curves share a chart:
    `ensemble/accuracy`, `member_0/loss`, ..., `optimizer/learning_rate`. The
    step is the number of epochs done. What is written is on disk at the end of
    each epoch; one that a killed run repeats is there twice, with equal
    numbers.

    Args:
        directory: `pathlib.Path` of the logs.
        allocation: The network's `Allocation`.
    """

    def __init__(self, directory, allocation):
        super().__init__()
        self._directory = directory
        self._allocation = allocation

    def on_train_begin(self, logs=None):
        self._writers = {
            name: tf.summary.create_file_writer(str(self._directory / name))
            for name in ("train", "validation")
        }
        with self._writers["train"].as_default(step=0):
            # Indented by four, Markdown keeps the table's columns.
            text = str(self._allocation).replace("\n", "\n    ")
            tf.summary.text("allocation/table", f"    {text}")

    def on_epoch_end(self, epoch, logs=None):
        rate = float(self.model.optimizer.learning_rate)
        self._write("train", "optimizer/learning_rate", rate, epoch + 1)
        for name, value in logs.items():
            run = "validation" if name.startswith("val_") else "train"
            stem, _, quantity = name.removeprefix("val_").rpartition("_")
            tag = f"{stem or 'ensemble'}/{quantity}"
            self._write(run, tag, value, epoch + 1)
        for writer in self._writers.values():
            writer.flush()

    def on_train_end(self, logs=None):
        for writer in self._writers.values():
            writer.close()

    def _write(self, run, tag, value, step):
        with self._writers[run].as_default(step=step):
            tf.summary.scalar(tag, value)


class EpochLine(keras.callbacks.Callback):
    """Prints a line per epoch about the whole network; the rest is logged."""

    def on_epoch_begin(self, epoch, logs=None):
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.perf_counter() - self._began
        epochs = self.params["epochs"]
        print(
            f"epoch {epoch + 1:{len(str(epochs))}}/{epochs}"
            f"  {seconds:5.1f} s"
            f"  accuracy {logs['accuracy']:7.2%}"
            f"  test: accuracy {logs['val_accuracy']:7.2%}"
            f"  loss {logs['val_loss']:.4f}",
            flush=True,
        )


def write_figures(directory, figures, step):
    """Writes figures as images.

    Args:
        directory: `pathlib.Path` of the logs.
        figures: Dict from name to `matplotlib.figure.Figure`.
        step: The number of epochs done.
    """
    writer = tf.summary.create_file_writer(str(directory / "figures"))
    with writer.as_default(step=step):
        for name, figure in figures.items():
            png = io.BytesIO()
            figure.savefig(png, format="png")
            image = tf.io.decode_png(png.getvalue(), channels=3)
            tf.summary.image(f"figures/{name}", image[tf.newaxis])
    writer.close()
