"""Any architecture inside any budget: the networks of keras.applications.

    python benchmarks/architectures.py [--names VGG16 ...] [--budgets 0.1 ...]

Shares each network with `ksw.share`, at every budget, and checks that

- its trainable scalars are within the budget;
- a training step runs and its loss is finite;
- the saved and loaded network predicts the same;
- the plain model that it materializes into predicts the same.

Prints a table of parameters, seconds, and the largest difference of a logit
between the network and the loaded and the plain model. Where the fixed costs of
a network (batch normalization, biases, heads) exceed a budget, the smallest
budget that works is used and marked. Exits with an error if a check fails.
"""

import argparse
import math
import os
import re
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_superweights as ksw

# The smallest images that each of them takes.
SIDES = {
    "DenseNet121": 32,
    "EfficientNetB0": 32,
    "MobileNetV2": 32,
    "ResNet50": 32,
    "ResNet50V2": 32,
    "InceptionV3": 75,
    "Xception": 71,
    "NASNetMobile": 32,
    "ConvNeXtTiny": 32,
    "VGG16": 32,
}
TOLERANCE = 1e-4


def build(name):
    """Builds a network that returns logits of ten classes."""
    return getattr(keras.applications, name)(
        weights=None,
        input_shape=(SIDES[name], SIDES[name], 3),
        classes=10,
        classifier_activation=None,
    )


def share(name, budget):
    """Returns `(network, whether it needed more than the budget)`."""
    model = build(name)
    try:
        return ksw.share(model, budget), False
    except ValueError as error:
        smallest = re.search(r"smallest budget that works is (\d+)", str(error))
        if smallest is None:
            raise
        return ksw.share(model, int(smallest[1])), True


def check(name, budget):
    """Prints one row of the table; returns whether all checks passed."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    start = time.perf_counter()
    network, raised = share(name, budget)
    scalars = sum(math.prod(v.shape) for v in network.trainable_variables)
    allocation = network.allocation
    shape = (8, SIDES[name], SIDES[name], 3)
    images = np.random.default_rng(0).uniform(0, 255, shape)
    network.compile(
        keras.optimizers.SGD(1e-3, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        run_eagerly=True,  # one step is done before it would be traced
    )
    loss = network.train_on_batch(images, np.arange(8))
    logits = np.array(network(images, training=False))
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "network.keras")
        network.save(path)
        loaded = keras.models.load_model(path)(images, training=False)
    (plain,) = network.materialize()
    others = loaded, plain(images, training=False)
    apart = [float(np.abs(np.array(o) - logits).max()) for o in others]
    passed = (
        scalars == allocation.num_params <= allocation.budget_params
        and math.isfinite(loss)
        and max(apart) <= TOLERANCE * max(1, np.abs(logits).max())
    )
    full = allocation.independent_params
    print(
        f"{name:<15}{budget:>7.0%}{scalars:>12,}{scalars / full:>8.1%}"
        f"{'  smallest' if raised else '':<10}{loss:>9.3f}"
        f"{apart[0]:>10.1e}{apart[1]:>10.1e}"
        f"{time.perf_counter() - start:>7.0f} s"
        f"{'' if passed else '  FAILED'}",
        flush=True,
    )
    return passed


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--names", nargs="+", default=list(SIDES))
    parser.add_argument(
        "--budgets", nargs="+", type=float, default=[1.0, 0.3, 0.1, 0.01]
    )
    arguments = parser.parse_args()
    print(
        f"{'network':<15}{'budget':>7}{'parameters':>12}{'used':>8}{'':<10}"
        f"{'loss':>9}{'loaded':>10}{'plain':>10}{'':>9}"
    )
    results = [
        check(name, budget)
        for name in arguments.names
        for budget in arguments.budgets
    ]
    sys.exit(0 if all(results) else "Some checks failed.")


if __name__ == "__main__":
    main()
