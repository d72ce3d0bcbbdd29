"""Bad inputs: is each refused clearly, and nothing lost?

    python -m benchmarks.attack
    python -m benchmarks.attack --part json --seed 1

Tries bad arguments over the whole public surface (`python`), damaged and
mutated allocations (`json`), damaged files of runs (`files`) and command lines
(`programs`). Prints how many of each part were answered how, see `judging.py`,
and every case that was not answered clearly.
"""

import argparse
import collections
import importlib
import os
import pathlib
import tempfile
import time

from benchmarks.attack import judging

PARTS = ("python", "json", "files", "programs")


def attack(part, seed, directory):
    """Yields the `Answer`s of a part; it has a directory of its own."""
    # A process that runs programs has to load none of the others.
    if part in ("files", "programs"):
        module = importlib.import_module(f"benchmarks.attack.{part}")
        yield from module.answers(directory, seed)
        return
    name = {"json": "allocations"}.get(part, part)
    module = importlib.import_module(f"benchmarks.attack.{name}")
    for case in module.cases(directory, seed):
        with tempfile.TemporaryDirectory() as place:
            answer = judging.judge(case, place)
        if answer is not None:
            yield answer


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--part", nargs="+", choices=PARTS, default=[*PARTS])
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for part in arguments.part:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as directory:
            kinds = collections.Counter()
            for answer in attack(part, arguments.seed, pathlib.Path(directory)):
                kinds[answer.kind] += 1
                if answer.kind != judging.CLEAR:
                    told = answer.words[:200]
                    print(f"{answer.kind}: {answer.case}\n    {told}")
        print(part, dict(kinds), f"{time.monotonic() - began:.0f} seconds")


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
