"""Reads the trained network of a run."""

import zipfile

import keras

import keras_superweights as ksw
from trainers.runs.reading import REMEDY


def load_network(path):
    """Returns the `SuperWeightNetwork` in the model.keras of a run.

    Raises:
        ValueError: If it is damaged, or another Keras model.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()  # Keras may read around it
        if damaged is not None:
            raise zipfile.BadZipFile(f"{damaged} does not fit its checksum")
        network = keras.saving.load_model(path)
    except Exception as error:  # whatever a damaged file makes Keras say
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{path} must be the network that the run has saved. Received: "
            f"{type(error).__name__}: {reason}. {REMEDY}"
        ) from error
    if not isinstance(network, ksw.SuperWeightNetwork):
        raise ValueError(
            f"{path} must be a `SuperWeightNetwork`. Received: a "
            f"`{type(network).__name__}`, which shares nothing. {REMEDY}"
        )
    return network
