"""Does a process that goes on making networks grow?

    python benchmarks/memory.py

Builds, compiles, trains and predicts with 50 ensembles, runs 20 searches, and
10 trials of a KerasTuner tuner, each in a process of its own, one after the
other; beside each, plain Keras doing the same with the same members: an
ensemble as one model, the training of a search, trials without a search.
After each, the process lets go of what it has made, collects garbage and clears
Keras' session, as users of many models do. Growth is from the first tenth on,
by the straight line of least squares; the limit is that of plain Keras plus
10 %. Also counts the networks and models that are alive at the end.
"""

import argparse
import gc
import multiprocessing
import os
import pathlib
import sys
import tempfile

REPETITIONS = {"networks": 50, "searches": 20, "trials": 10}
ALLOWED = 1.1


def member(name="member"):
    import keras

    inputs = keras.Input((16,))
    x = inputs
    for index in range(3):
        x = keras.layers.Dense(32, "relu", name=f"dense{index}")(x)
    outputs = keras.layers.Dense(4, name="head")(x)
    return keras.Model(inputs, outputs, name=name)


def batches():
    import numpy as np
    import tensorflow as tf

    x = np.random.default_rng(0).normal(size=(64, 16)).astype("float32")
    return tf.data.Dataset.from_tensor_slices((x, np.arange(64) % 4)).batch(16)


def ensemble(is_ours):
    """Returns a compiled ensemble of two members."""
    import keras

    import keras_superweights as ksw

    members = [member("one"), member("other")]
    if is_ours:
        network = ksw.SuperWeightNetwork(members, 0.6)
    else:
        inputs = keras.Input((16,))
        answers = [each(inputs) for each in members]
        network = keras.Model(inputs, keras.layers.average(answers))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile("sgd", loss, metrics=["accuracy"])
    return network


def networks(is_ours, directory):
    network = ensemble(is_ours)
    network.fit(batches(), verbose=0)
    network.predict(batches(), verbose=0)
    network.save(directory / "network.keras")


def searches(is_ours, directory):
    import keras_superweights as ksw

    if is_ours:
        ksw.search.find_clusters(
            [member("one"), member("other")],
            0.6,
            batches(),
            pretrain_epochs=2,
            verbose=0,
        )
    else:
        ensemble(is_ours).fit(batches(), epochs=2, verbose=0)


def trials(is_ours, directory):
    """One more trial of a tuner, which goes on where it was."""
    import keras_tuner

    import keras_superweights as ksw

    if is_ours:
        hypermodel = ksw.tuning.HyperModel(
            {"one": member, "other": member},
            ksw.tuning.Space(budget_params=(0.5, 1.0)),
            directory,
            pretrain_epochs=1,
        )
    else:

        def hypermodel(hp):
            hp.Float("rate", 0.01, 0.1)
            return ensemble(is_ours)

    tuner = keras_tuner.RandomSearch(
        hypermodel,
        keras_tuner.Objective("val_loss", "min"),
        max_trials=1,
        directory=directory,
        overwrite=True,
    )
    tuner.search(batches(), validation_data=batches(), epochs=1, verbose=0)


def measure(subject, is_ours):
    """Returns MiB of the process after each repetition, and what is alive."""
    import keras

    sizes = []
    with tempfile.TemporaryDirectory() as directory:
        for _ in range(REPETITIONS[subject]):
            globals()[subject](is_ours, pathlib.Path(directory))
            keras.backend.clear_session()
            gc.collect()
            sizes.append(resident())
    alive = sum(isinstance(each, keras.Model) for each in gc.get_objects())
    return sizes, alive


def resident():
    """MiB of memory that this process has now."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def slope(sizes):
    """MiB by which each repetition grows, from the first tenth on."""
    import numpy as np

    sizes = sizes[len(sizes) // 10 :]
    return float(np.polyfit(range(len(sizes)), sizes, 1)[0])


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--subjects", nargs="+", choices=REPETITIONS, default=[*REPETITIONS]
    )
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    processes = multiprocessing.get_context("spawn")
    exceeded = []
    for subject in arguments.subjects:
        growths = []
        for is_ours in (False, True):
            with processes.Pool(1) as pool:
                sizes, alive = pool.apply(measure, (subject, is_ours))
            growths.append(slope(sizes))
            print(
                f"{subject:<9} {'shared' if is_ours else 'plain':<7}"
                f"{sizes[0]:7.0f} MiB after the first, {sizes[-1]:.0f} after "
                f"{len(sizes)}: {growths[-1]:.2f} MiB each; {alive} alive",
                flush=True,
            )
        if growths[1] > max(growths[0], 0) * ALLOWED:
            exceeded.append(subject)
    if exceeded:
        sys.exit(f"More than plain Keras plus 10 %: {', '.join(exceeded)}.")


if __name__ == "__main__":
    main()
