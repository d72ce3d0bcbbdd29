"""Shows in TensorBoard how a network trains, and which kernels share what."""

import io
import math
import pathlib

import keras
import tensorflow as tf

from keras_superweights import files
from keras_superweights.arguments import check_bool
from keras_superweights.arguments import check_integer
from keras_superweights.arguments import check_path
from keras_superweights.arguments import check_type
from keras_superweights.callbacks.diagnosis import SharingDiagnosis
from keras_superweights.figures import tagged
from keras_superweights.search.refinement import Refinement


class SharingInspector(keras.callbacks.Callback):
    """Shows in TensorBoard how a network trains and what its kernels share.

    Scalars, every epoch, in the runs `train` and `validation`, whose curves
    share a chart:

        ensemble/accuracy, ensemble/diversity, member_0/loss, ...
        optimizer/learning_rate
        budget/used, budget/allowed       trainable scalars

    Text and images, when training begins or resumes, in the run `figures`:

        allocation/table                  the allocation, as text
        allocation/parameters             how the budget is spent
        allocation/clusters               which layers share, and how
        allocation/clusters_before        the same before the search
        similarity/cluster_0_before       gradient similarities in a cluster
        similarity/cluster_0_after        the same, split by the search

    Images, at the start, every `every` epochs, and after the last one:

        coefficients/cluster_0            of all banks of a cluster
        diagnosis/relative_step, ...      with `diagnose`: see
                                          `SharingDiagnosis`

    With `diagnose`, their means over kernels are scalars of the run `train`
    as well. It keeps a copy of all kernels and sums their gradients: about as
    much memory as they take, twice.

    Coefficients are shown for the clusters with the most kernels, up to 12.
    Clusters are numbered in the order of their banks, as in
    `allocation/clusters` and `allocation/parameters`; similarities are
    numbered as in `allocation/clusters_before`. Steps count completed epochs.
    Everything is on disk at the end of an epoch; an epoch that is repeated
    after a crash is logged twice, with equal numbers.

    Put this after `CoefficientDecoupling`, to see the coefficients at the end
    of an epoch. A tuner copies callbacks for its trials, but gives a directory
    per trial only to Keras' own `TensorBoard`: set one here yourself. With
    several workers (`MultiWorkerMirroredStrategy`) each one writes: give each
    its own directory, or use this on the chief only.

    Args:
        log_dir: Directory of the logs.
        figures_dir: Directory for the newest version of each image as a PNG
            file: `coefficients/cluster_0` is `coefficients-cluster_0.png`.
            None by default.
        refinement: The `keras_superweights.search.Refinement` that the
            network's allocation comes from, if any.
        every: Epochs between two images of coefficients. Defaults to 1.
        diagnose: Whether to measure what each epoch does to kernels. Measures
            begin anew when training resumes. Defaults to `False`.

    Raises:
        ValueError: If `every` is not a positive integer.
        TypeError: If an argument has the wrong type; when training begins, if
            the model is not a `SuperWeightNetwork`.

    Example:

    ```python
    network.fit(
        train,
        epochs=200,
        validation_data=test,
        callbacks=[ksw.callbacks.SharingInspector("logs", every=10)],
    )  # and then: tensorboard --logdir logs
    ```

    References:
        - SWN, figure 5, is `allocation/clusters`
    """

    def __init__(
        self,
        log_dir,
        figures_dir=None,
        refinement=None,
        every=1,
        diagnose=False,
    ):
        super().__init__()
        _check_paths(log_dir, figures_dir)
        if refinement is not None:
            is_right = isinstance(refinement, Refinement)
            check_type("refinement", refinement, is_right, "a `Refinement`")
        check_integer("every", every)
        check_bool("diagnose", diagnose)
        self.log_dir = log_dir
        self.figures_dir = figures_dir
        self.refinement = refinement
        self.every = every
        self.diagnose = diagnose
        self._writers = {}
        self._diagnosis = None

    def on_train_begin(self, logs=None):
        if not hasattr(self.model, "allocation"):
            raise TypeError(
                "`SharingInspector` needs a `SuperWeightNetwork`. "
                f"Received: a model of type {type(self.model).__name__}."
            )
        self._writers = {}
        self._diagnosis = None

    def on_epoch_begin(self, epoch, logs=None):
        # Not in `on_train_begin`, which does not know the first epoch.
        if not self._writers:
            self._begin(epoch)
        if self._diagnosis is not None:
            self._diagnosis.begin_epoch()

    def _begin(self, epoch):
        allocation = self.model.allocation
        with self._writer("figures").as_default(step=epoch):
            # Indented by four, Markdown keeps the columns of a table.
            table = str(allocation).replace("\n", "\n    ")
            tf.summary.text("allocation/table", "    " + table)
        self._show(tagged.allocation_figures(allocation), epoch)
        if self.refinement is not None:
            self._show(tagged.search_figures(self.refinement), epoch)
        self._show(tagged.coefficient_figures(self.model), epoch)
        if self.diagnose:
            self._diagnosis = SharingDiagnosis(self.model)

    def on_epoch_end(self, epoch, logs=None):
        done = epoch + 1
        rate = self.model.optimizer.learning_rate
        variables = self.model.trainable_variables
        runs = {
            "train": {
                "optimizer/learning_rate": float(rate),
                "budget/used": sum(math.prod(v.shape) for v in variables),
                "budget/allowed": self.model.allocation.budget_params,
            },
            "validation": {},
        }
        for name, value in logs.items():
            run = "validation" if name.startswith("val_") else "train"
            runs[run][self._tag(name.removeprefix("val_"))] = value
        if self._diagnosis is not None:
            for name, mean in self._diagnosis.end_epoch().items():
                tag = f"diagnosis/{name.replace(' ', '_')}"
                runs["train"][tag] = mean
        for run, scalars in runs.items():
            if not scalars:
                continue
            # Leaving `as_default` flushes: no epoch ends unwritten.
            with self._writer(run).as_default(step=done):
                for tag, value in scalars.items():
                    tf.summary.scalar(tag, value)
        if done % self.every == 0 or done == self.params["epochs"]:
            self._show(tagged.coefficient_figures(self.model), done)
            if self._diagnosis is not None:
                self._show(
                    tagged.diagnosis_figures(
                        self.model.allocation, self._diagnosis.history, done
                    ),
                    done,
                )

    def on_train_end(self, logs=None):
        for writer in self._writers.values():
            writer.close()
        self._writers = {}

    def _tag(self, name):
        """Turns Keras' `member_0_accuracy` into `member_0/accuracy`."""
        for index in range(len(self.model.members)):
            prefix = f"member_{index}_"
            if name.startswith(prefix):
                return f"member_{index}/{name.removeprefix(prefix)}"
        return f"ensemble/{name}"

    def _writer(self, run):
        if run not in self._writers:
            self._writers[run] = _create_writer(self.log_dir, run)
        return self._writers[run]

    def _show(self, figures, step):
        _write_images(self._writer("figures"), figures, step, self.figures_dir)


def write_figures(log_dir, figures, step, figures_dir=None):
    """Adds figures to the logs of a run, such as those of its evaluation.

    Args:
        log_dir: Directory of the logs, as for `SharingInspector`.
        figures: Dict from tag, `"evaluation/anytime"`, to
            `matplotlib.figure.Figure`.
        step: The number of epochs done.
        figures_dir: Directory for the same figures as PNG files, such as
            `evaluation-anytime.png`. None by default.

    Example:

    ```python
    curves = keras_superweights.figures.training_curves(history.history)
    write_figures("logs", {"training/curves": curves}, step=200)
    ```
    """
    _check_paths(log_dir, figures_dir)
    is_dict = isinstance(figures, dict)
    check_type("figures", figures, is_dict, "a dict from tag to figure")
    check_integer("step", step, least=0)
    writer = _create_writer(log_dir, "figures")
    _write_images(writer, figures.items(), step, figures_dir)
    writer.close()


def _check_paths(log_dir, figures_dir):
    check_path("log_dir", log_dir)
    if figures_dir is not None:
        check_path("figures_dir", figures_dir)


def _create_writer(log_dir, run):
    return tf.summary.create_file_writer(str(pathlib.Path(log_dir) / run))


def _write_images(writer, figures, step, figures_dir):
    with writer.as_default(step=step):
        for tag, figure in figures:
            file = io.BytesIO()
            figure.savefig(file, format="png")
            png = file.getvalue()
            image = tf.io.decode_png(png, channels=3)
            tf.summary.image(tag, image[tf.newaxis])
            if figures_dir is not None:
                name = tag.replace("/", "-") + ".png"
                path = pathlib.Path(figures_dir) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                files.write_bytes(path, png)
