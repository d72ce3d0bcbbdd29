"""Time and memory that allocating takes, for networks of any size.

    python benchmarks/allocation.py

Plans WRN-76-12 for 100 classes (164M parameters) inside 21M, and allocates
10,000 kernels, of a few shapes as in a network and of 576 different ones, by
several rules. Seconds exclude imports; memory is what the process grew by.
"""

import os
import random
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras_superweights as ksw
from keras_superweights.allocation import KernelSpec
from keras_superweights.allocation import MemberSpec


def resident_mib():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def kernels(sides, count=10_000):
    draw = random.Random(0)
    boxes = [(draw.choice(sides), draw.choice(sides)) for _ in range(count)]
    return tuple(
        KernelSpec(0, f"layer{i}", (3, 3, *box)) for i, box in enumerate(boxes)
    )


def main():
    memory, start = resident_mib(), time.perf_counter()
    allocation = ksw.allocate(
        lambda: ksw.models.wide_resnet(76, 12, num_classes=100),
        21_000_000,
        ksw.sharing.SuperWeights(),
    )
    seconds = time.perf_counter() - start
    print(
        f"WRN-76-12, {allocation.independent_params:,} parameters inside "
        f"21M: {seconds:.2f} s, {resident_mib() - memory:.1f} MiB"
    )
    sides_of = {"9 shapes": (64, 128, 256), "576 shapes": range(8, 200, 8)}
    for name, sides in sides_of.items():
        member = MemberSpec("net", kernels(sides), 0)
        for rule in (
            ksw.sharing.SuperWeights(),
            ksw.sharing.SuperWeights(clusters="position"),
            ksw.sharing.MixtureEnsembles(),
        ):
            start = time.perf_counter()
            rule.allocate([member], member.num_params)
            seconds = time.perf_counter() - start
            print(f"10,000 kernels of {name}, {rule}: {seconds:.2f} s")


if __name__ == "__main__":
    main()
