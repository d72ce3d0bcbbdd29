"""What recording gradients for the search adds to a training step.

    python benchmarks/recording.py --members 16-4 16-4 16-4 --batch 32

One network has two train functions, one of which records; their steps
alternate. The figure is the median of the ratios of neighbouring steps, by the
clock and in processor time: other work on the machine affects both steps alike,
and hardly affects processor time. With --sketch_size, gradients are sketched.
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
    recorder = ksw.search.GradientRecorder(
        network.generator, sketch_size=arguments.sketch_size
    )
    network.record_gradients(recorder)
    functions["on"] = network.train_function
    batches = iter(data)
    clocks = {"seconds": time.perf_counter, "of CPU": time.process_time}
    spent = {name: {clock: [] for clock in clocks} for name in functions}
    for step in range(arguments.steps + 2):
        for name, function in functions.items():
            start = {clock: now() for clock, now in clocks.items()}
            float(function(batches)["loss"])
            for clock, now in clocks.items():
                if step >= 2:
                    spent[name][clock].append(now() - start[clock])
    print(
        f"WRN {' '.join(arguments.members)}, batch {arguments.batch}, "
        f"sketch {arguments.sketch_size}, {arguments.steps} steps:"
    )
    for clock in clocks:
        off, on = (spent[name][clock] for name in ("off", "on"))
        ratios = [one / other for one, other in zip(on, off, strict=True)]
        print(
            f"    {statistics.median(off):.3f} {clock} off, "
            f"{statistics.median(on):.3f} on, "
            f"ratio {statistics.median(ratios):.3f}"
        )


if __name__ == "__main__":
    main()
