"""What recording gradients for the search adds to a training step.

    python benchmarks/recording.py --members 16-4 16-4 16-4 --batch 32

One network, two train functions, one of which records; steps alternate, and
the figure is the ratio of medians. With --sketch_size, gradients are sketched.
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

import keras_superweights as ksw


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--members", nargs="+", default=["16-4"] * 3)
    parser.add_argument("--budget", type=float, default=0.5)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--sketch_size", type=int)
    arguments = parser.parse_args()

    keras.utils.set_random_seed(0)
    shapes = [map(int, member.split("-")) for member in arguments.members]
    network = ksw.SuperWeightNetwork(
        [ksw.models.wide_resnet(depth, width, 100) for depth, width in shapes],
        arguments.budget,
        ksw.sharing.SuperWeights(tied=True),
    )
    network.compile(
        keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    draw = np.random.default_rng(0)
    images = draw.normal(size=(arguments.batch, 32, 32, 3)).astype("float32")
    labels = draw.integers(0, 100, arguments.batch)
    data = tf.data.Dataset.from_tensors((images, labels)).repeat()
    network.fit(data, steps_per_epoch=1, verbose=0)
    functions = {"off": network.train_function}
    network.record_gradients(
        ksw.search.GradientRecorder(
            network.generator, sketch_size=arguments.sketch_size
        )
    )
    functions["on"] = network.train_function
    batches = iter(data)
    seconds = {name: [] for name in functions}
    for step in range(arguments.steps + 2):
        for name, function in functions.items():
            start = time.perf_counter()
            float(function(batches)["loss"])
            if step >= 2:
                seconds[name].append(time.perf_counter() - start)
    median = {name: statistics.median(s) for name, s in seconds.items()}
    print(
        f"WRN {' '.join(arguments.members)}, batch {arguments.batch}, "
        f"sketch {arguments.sketch_size}, {arguments.steps} steps: "
        f"{median['off']:.3f} s off, {median['on']:.3f} s on, "
        f"ratio {median['on'] / median['off']:.3f}"
    )


if __name__ == "__main__":
    main()
