"""Writes the files that `test_formats.py` reads, of the formats of today.

    python -m tests.formats.write_files

Run it only when a format gets a new number, and keep the older files beside
the new ones: a newer library reads what an older one wrote.
"""

import pathlib

import keras
import numpy as np

import keras_superweights as ksw
from configs import base
from configs import digits
from keras_superweights.allocation.text import FORMAT
from trainers.runs.workdir import Workdir

HERE = pathlib.Path(__file__).parent
INPUTS = np.linspace(-1, 1, 24, dtype="float32").reshape(2, 12)


def network():
    """Members with a nested pair of kernels, masks and rank-one factors."""

    def member(width):
        inputs = keras.Input((12,))
        x = keras.layers.Dense(width, activation="tanh", name="one")(inputs)
        x = keras.layers.Dense(width, activation="tanh", name="two")(x)
        outputs = keras.layers.Dense(3, name="head")(x)
        return keras.Model(inputs, outputs, name=f"member_{width}")

    keras.utils.set_random_seed(0)
    return ksw.SuperWeightNetwork(
        [member(4), member(6)],
        180,
        ksw.sharing.Shapeshifter(transforms=ksw.parts.RankOne()),
        ensemble=ksw.ensembles.MultiLabel(),
        name="network",
    )


def main():
    made = network()
    made.save(HERE / f"network-{FORMAT}.keras")
    np.save(HERE / f"predictions-{FORMAT}.npy", made(INPUTS))
    nested = ksw.allocate(
        [ksw.models.wide_resnet(10, width, 10, (8, 8, 1)) for width in (2, 1)],
        0.8,
        ksw.sharing.SuperWeights(depth_bins=2, tied=True),
    )
    (HERE / f"allocation-{FORMAT}.json").write_text(nested.to_json())
    config = base.loaded(digits.get_config("quick").to_dict())
    Workdir(HERE / f"run-{FORMAT}").open(config)


if __name__ == "__main__":
    main()
