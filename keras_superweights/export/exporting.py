"""Exports a trained network as files of plain Keras models.

The network is exported materialized: kernels are computed once, and its
members, and for an ensemble the whole as one model, are written. The files
load where this library is not installed, and are as large as their parameters.
"""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import warnings

import keras
import numpy as np
import tensorflow as tf

from keras_superweights.arguments import as_tuple
from keras_superweights.arguments import check_path
from keras_superweights.export.formats import FORMATS
from keras_superweights.export.formats import NotConvertedError
from keras_superweights.export.formats import checked_formats
from keras_superweights.export.formats import input_structure
from keras_superweights.files import UNFINISHED
from keras_superweights.training.finite import first_not_finite
from keras_superweights.training.network import SuperWeightNetwork

_MIB = 2**20


def materialize_ensemble(network):
    """Returns one plain Keras model that predicts what a network predicts.

    Args:
        network: A `SuperWeightNetwork`.

    Returns:
        For an ensemble, a Functional `keras.Model` with the members as layers
        `member_0`, `member_1`, ... on one input, whose output is the
        prediction of the network's kind, made of Keras operations. For a
        single member, that member as from `network.materialize()`.

    Raises:
        TypeError: If `network` is not a `SuperWeightNetwork`.
        ValueError: If a weight is NaN or infinite.

    Example:

    ```python
    plain = materialize_ensemble(network)
    plain.save("plain.keras")  # loads where only Keras is installed
    ```
    """
    *_, whole = _materialized(network).values()
    return whole


@dataclasses.dataclass(frozen=True)
class ExportedFile:
    """An exported file, or directory of a SavedModel.

    Attributes:
        path: Its place, a `pathlib.Path`.
        format: `"keras"`, `"saved_model"` or `"litert"`.
        size: Its size in bytes.
        parameters: Scalars of its model, trained or not, of four bytes each.
        difference: The largest difference between its predictions and the
            network's, for one batch.
    """

    path: pathlib.Path
    format: str
    size: int
    parameters: int
    difference: float


def export_network(network, directory, formats=None, inputs=None):
    """Exports the members of a network, and the ensemble, as plain models.

    For an ensemble, writes `member_0`, `member_1`, ... and `ensemble`; for a
    network of one member, `model`. A file gets its name only after all have
    been read back and compared with the network, so a file of that name is
    complete. If anything fails before that, nothing is left behind. A directory
    that is new gets its name with all files in it.

    A SavedModel has the signatures `serve` and `serving_default`, and any batch
    size. It holds each variable once; `keras.Model.export` writes them twice.

    Args:
        network: A trained `SuperWeightNetwork`.
        directory: Directory of the files, created if missing. Its other files
            stay as they are.
        formats: One or a list of `"keras"` (`.keras`), `"saved_model"` (a
            directory `.saved_model`) and `"litert"` (`.tflite`). Defaults to
            all that the installed TensorFlow can write; a model with
            operations that LiteRT lacks is then written in the other formats,
            with a warning.
        inputs: A batch of the network's inputs, on which to compare
            predictions. Defaults to eight examples: normal numbers, or zeros
            for inputs that are not floats.

    Returns:
        A list of `ExportedFile`; `format_exported` formats it as a table.

    Raises:
        TypeError: If `network` is not a `SuperWeightNetwork`.
        ValueError: If a weight is NaN or infinite, a format is unknown or
            cannot be written here, a file exists already, an input has
            unknown dimensions and no batch is given, or `formats` names
            LiteRT, which lacks operations of a model.

    Example:

    ```python
    files = export_network(network, "exported")
    print(format_exported(files))
    tf.saved_model.load("exported/ensemble.saved_model").serve(images)
    ```
    """
    is_litert_wanted = formats is not None
    formats = checked_formats(formats)
    models = _materialized(network)
    check_path("directory", directory)
    directory = pathlib.Path(directory)
    targets = {
        (name, key): directory / f"{name}{FORMATS[key].suffix}"
        for name in models
        for key in formats
    }
    place = _free_place(directory, targets.values())
    inputs = _batch(network.members[0], inputs)
    whole = network(inputs, training=False)
    alone = [] if "model" in models else network.member_outputs(inputs)
    expected = dict(zip(models, [*alone, whole], strict=True))

    exported, left_out = [], []
    # On the same file system, so that only renaming remains to be done.
    with _unfinished(place / f"{UNFINISHED}{directory.name}") as unfinished:
        for (name, key), target in targets.items():
            path = unfinished / target.name
            try:
                FORMATS[key].write(models[name], path)
            except NotConvertedError as error:
                if is_litert_wanted:
                    raise
                left_out.append(target.name)
                reason = str(error)
                continue
            found = FORMATS[key].predict(path, models[name], inputs)
            exported.append(
                ExportedFile(
                    path=target,
                    format=key,
                    size=_size(path),
                    parameters=models[name].count_params(),
                    difference=_largest_difference(expected[name], found),
                )
            )
        if directory.exists():
            for file in exported:
                os.rename(unfinished / file.path.name, file.path)
        else:  # all at once
            directory.parent.mkdir(parents=True, exist_ok=True)
            os.rename(unfinished, directory)
    if left_out:
        warnings.warn(
            f"Not exported: {', '.join(left_out)}. {reason}", stacklevel=2
        )
    return exported


@contextlib.contextmanager
def _unfinished(path):
    """Yields a new directory, and removes what a killed process has left."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def format_exported(files):
    """Formats the files that `export_network` returned as a table."""
    files = as_tuple("files", files, ExportedFile, "a list of `ExportedFile`s")
    width = max((len(str(file.path)) for file in files), default=0)
    header = (
        f"{'':{width}}       MiB   parameters  they need  largest difference"
    )
    lines = [header, "-" * len(header)]
    for file in files:
        lines.append(
            f"{str(file.path):{width}}  {file.size / _MIB:8,.2f}  "
            f"{file.parameters:11,}  {4 * file.parameters / _MIB:9,.2f}  "
            f"{file.difference:18.1e}"
        )
    return "\n".join(lines)


def _materialized(network) -> dict[str, keras.Model]:
    """Returns plain models by their files' names; the last is the whole."""
    if not isinstance(network, SuperWeightNetwork):
        raise TypeError(
            "`network` must be a `SuperWeightNetwork`; other Keras models are "
            f"plain already. Received: network={network!r}."
        )
    weight = first_not_finite(network)
    if weight is not None:
        raise ValueError(
            "The weights of `network` must be finite. Received: NaN or "
            f"infinity in {weight}. Its training has diverged: go back to "
            "weights from before, or train it with a lower learning rate."
        )
    members = network.materialize()
    kind = network.ensemble
    front = kind.front(members)
    if front is not None and kind.calibration is None:
        return {"model": front}
    if front is not None:
        answer = kind.prediction(front.outputs)
        return {"model": keras.Model(front.inputs, answer, name=front.name)}
    for index, member in enumerate(members):
        # Members may have equal names; layers of a model may not.
        member.name = f"member_{index}"
    inputs = kind.input(members)
    prediction = kind.prediction(kind.outputs(members, inputs))
    ensemble = keras.Model(inputs, prediction, name=network.name)
    return {**{member.name: member for member in members}, "ensemble": ensemble}


def _free_place(directory, targets):
    """Checks the directory, and returns it or its nearest existing parent."""
    taken = [str(target) for target in targets if os.path.lexists(target)]
    if taken:
        raise ValueError(
            "`directory` must not have any of the files to be written. "
            f"Received: directory={str(directory)!r}, which has "
            f"{', '.join(taken)}. Choose another directory, or delete them."
        )
    place = next(p for p in (directory, *directory.parents) if p.exists())
    if not place.is_dir():
        raise ValueError(
            "`directory` must be a directory, or a path where one can be made. "
            f"Received: directory={str(directory)!r}, and {place} is a file."
        )
    return place


def _batch(member, inputs):
    """Returns the batch on which to compare predictions, as tensors."""
    structure = input_structure(member)
    if inputs is not None:
        try:
            return keras.tree.map_structure(
                lambda tensor, value: keras.ops.convert_to_tensor(
                    value, tensor.dtype
                ),
                structure,
                inputs,
            )
        except (TypeError, ValueError) as error:
            raise ValueError(
                "`inputs` must be a batch of the network's inputs. Received: "
                f"inputs={inputs!r}, expected: {structure}."
            ) from error
    random = np.random.default_rng(0)

    def eight(tensor):
        shape = (8, *tensor.shape[1:])
        if None in shape:
            raise ValueError(
                "`inputs` must be a batch if an input has unknown dimensions, "
                "to compare predictions. Received: inputs=None, and the input "
                f"'{tensor.name}' has the shape {tensor.shape}."
            )
        if keras.backend.is_float_dtype(tensor.dtype):
            return tf.constant(random.normal(size=shape), tensor.dtype)
        return tf.zeros(shape, tensor.dtype)

    return keras.tree.map_structure(eight, structure)


def _largest_difference(expected, found):
    expected, found = _by_name(expected), _by_name(found)
    return max(
        float(np.max(np.abs(np.float64(output) - np.float64(found[name]))))
        for name, output in expected.items()
    )


def _by_name(outputs):
    """Returns outputs by their names in signatures."""
    if isinstance(outputs, dict):
        return outputs
    flat = keras.tree.flatten(outputs)
    return {f"output_{index}": output for index, output in enumerate(flat)}


def _size(path):
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
