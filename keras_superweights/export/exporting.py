"""A trained network as files of plain models, which know nothing of it.

A network is exported materialised: kernels are computed once, and what is
written are its members and, of an ensemble, the whole as one model. They load
where this library is not installed, and take the room of their parameters.
"""

import dataclasses
import os
import pathlib
import tempfile
import warnings

import keras
import numpy as np
import tensorflow as tf

from keras_superweights.export.formats import FORMATS
from keras_superweights.export.formats import NotConvertedError
from keras_superweights.export.formats import checked_formats
from keras_superweights.export.formats import input_structure
from keras_superweights.training.network import SuperWeightNetwork

_MIB = 2**20


def materialize_ensemble(network):
    """One ordinary Keras model that predicts what a network predicts.

    Args:
        network: A `SuperWeightNetwork`.

    Returns:
        Of an ensemble, a Functional `keras.Model` with the members as layers
        `member_0`, `member_1`, ... on one input, and the output that its kind
        predicts, made of operations of Keras. Of a single member, that member
        as `network.materialize()` returns it.

    Raises:
        TypeError: If `network` is not a `SuperWeightNetwork`.

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
    """A file, or the directory of a SavedModel, that was exported.

    Attributes:
        path: Where it is, a `pathlib.Path`.
        format: `"keras"`, `"saved_model"` or `"litert"`.
        size: Its bytes.
        parameters: The scalars of the model in it, trained or not; they need
            four bytes each.
        difference: Between its predictions and those of the network, the
            largest in a batch.
    """

    path: pathlib.Path
    format: str
    size: int
    parameters: int
    difference: float


def export_network(network, directory, formats=None, inputs=None):
    """Exports the members of a network, and the ensemble, as plain models.

    Of an ensemble, `member_0`, `member_1`, ... and `ensemble` are written; a
    network of one member is `model`. None gets its name before all have been
    read back and compared with the network, so a file of that name is whole,
    whatever happens; when anything fails until then, nothing is left.

    A SavedModel has the signatures `serve` and `serving_default`, and any batch
    size. It holds each variable once; `keras.Model.export` writes them twice.

    Args:
        network: A trained `SuperWeightNetwork`.
        directory: Where to; made if it is not there. Files in it stay as they
            are.
        formats: One or a list of `"keras"` (`.keras`), `"saved_model"` (a
            directory `.saved_model`) and `"litert"` (`.tflite`). Defaults to
            all that the installed TensorFlow can write; a model of which
            LiteRT has not all operations is then written in the others, with
            a warning.
        inputs: A batch on which to compare predictions, as the network takes
            it. Defaults to eight examples: normal numbers, or zeros where an
            input is not of floats.

    Returns:
        A list of `ExportedFile`, which `format_exported` makes a table of.

    Raises:
        TypeError: If `network` is not a `SuperWeightNetwork`.
        ValueError: If a format is unknown or cannot be written here, a file
            to be written is there already, an input has unknown dimensions
            and no batch is given, or `formats` names LiteRT, which has not
            all operations of a model.

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
    directory = pathlib.Path(directory)
    targets = {
        (name, key): directory / f"{name}{FORMATS[key].suffix}"
        for name in models
        for key in formats
    }
    place = _free_place(directory, targets.values())
    inputs = _batch(network.members[0], inputs)
    expected = _predictions(network, inputs)

    exported, left_out = [], []
    # On the same file system, so that to rename is all that is left to do.
    with tempfile.TemporaryDirectory("", "unfinished-", place) as unfinished:
        for (name, key), target in targets.items():
            path = pathlib.Path(unfinished, target.name)
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
                    target,
                    key,
                    _size(path),
                    models[name].count_params(),
                    _largest_difference(expected[name], found),
                )
            )
        directory.mkdir(parents=True, exist_ok=True)
        for file in exported:
            os.rename(pathlib.Path(unfinished, file.path.name), file.path)
    if left_out:
        warnings.warn(
            f"Not exported: {', '.join(left_out)}. {reason}", stacklevel=2
        )
    return exported


def format_exported(files):
    """A table of exported files, as text.

    Args:
        files: What `export_network` returned.
    """
    width = max(len(str(file.path)) for file in files)
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
    """The plain models by the names of their files; the last is the whole."""
    if not isinstance(network, SuperWeightNetwork):
        raise TypeError(
            "`network` must be a `SuperWeightNetwork`; other Keras models are "
            f"plain already. Received: network={network!r}."
        )
    members = network.materialize()
    kind = network.ensemble
    front = kind.front(members)
    if front is not None:
        return {"model": front}
    for index, member in enumerate(members):
        # Members may have equal names, the layers of a model may not.
        member.name = f"member_{index}"
    first = members[0].inputs[0]
    inputs = keras.Input(
        batch_shape=first.shape, dtype=first.dtype, name="inputs"
    )
    prediction = kind.prediction(kind.outputs(members, inputs))
    ensemble = keras.Model(inputs, prediction, name=network.name)
    return {**{member.name: member for member in members}, "ensemble": ensemble}


def _predictions(network, inputs):
    """What the network itself predicts, by the names of the files."""
    whole = network(inputs, training=False)
    if network.ensemble.front(network.members) is not None:
        return {"model": whole}
    members = network.member_outputs(inputs)
    names = [f"member_{index}" for index in range(len(members))]
    return {**dict(zip(names, members, strict=True)), "ensemble": whole}


def _free_place(directory, targets):
    """The directory, or what there is of the way to it, checked."""
    taken = [str(target) for target in targets if target.exists()]
    if taken:
        raise ValueError(
            "`directory` must not have the files that are to be written. "
            f"Received: directory={str(directory)!r}, and there are "
            f"{', '.join(taken)}. Choose another directory, or delete them."
        )
    place = next(p for p in (directory, *directory.parents) if p.exists())
    if not place.is_dir():
        raise ValueError(
            "`directory` must be a directory, or one that can be made. "
            f"Received: directory={str(directory)!r}, and {place} is a file."
        )
    return place


def _batch(member, inputs):
    """The batch to compare predictions on, as tensors."""
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
                "`inputs` must be a batch as the network takes it. Received: "
                f"inputs={inputs!r}, expected: {structure}."
            ) from error
    random = np.random.default_rng(0)

    def eight(tensor):
        shape = (8, *tensor.shape[1:])
        if None in shape:
            raise ValueError(
                "`inputs` must be a batch on which to compare predictions, if "
                "an input has unknown dimensions. Received: inputs=None, and "
                f"the input '{tensor.name}' has the shape {tensor.shape}."
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
    """Outputs by the names that signatures give them."""
    if isinstance(outputs, dict):
        return outputs
    flat = keras.tree.flatten(outputs)
    return {f"output_{index}": output for index, output in enumerate(flat)}


def _size(path):
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
