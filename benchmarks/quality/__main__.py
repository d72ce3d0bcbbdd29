"""Is an ensemble in the size of one network worth several?

    python -m benchmarks.quality --data_dir DIR --regimes B C --seeds 0 1 2

Trains every variant of every regime with every seed by one recipe: the same
images in the same order, the same steps. Prints, for each regime, mean and
standard deviation over the seeds, and the share of the deep ensemble's gain
over one network that each variant reaches; draws the same as a picture.

Each run is a process with one thread, and a file in --results: a run that is
there is not trained again, so that a benchmark that was stopped goes on with
the same command. Regime A needs no --data_dir.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import time

from benchmarks.quality import summary
from benchmarks.quality.regimes import REGIMES
from benchmarks.quality.variants import VARIANTS


def missing(arguments):
    """Yields the runs that --results does not hold, and their files."""
    named = [
        (seed, regime, variant)
        for seed in arguments.seeds
        for regime in arguments.regimes
        for variant in arguments.variants
        if variant in (REGIMES[regime].variants or VARIANTS)
    ]
    seen = set()
    for seed, regime, variant in named:
        path = summary.path_of(arguments.results, regime, variant, seed)
        if path not in seen and not path.exists():
            seen.add(path)
            yield [regime, variant, str(seed), str(path)]


def train(runs, processes, data_dir):
    """Trains runs in parallel, one thread each."""
    options = ["--data_dir", data_dir] if data_dir else []
    waiting, running = list(runs), []
    while waiting or running:
        while waiting and len(running) < processes:
            run = waiting.pop(0)
            command = [sys.executable, "-m", "benchmarks.quality.run", *run]
            running.append((run, subprocess.Popen([*command, *options])))
        time.sleep(0.5)
        for run, process in list(running):
            if process.poll() is None:
                continue
            running.remove((run, process))
            if process.returncode:
                for _, other in running:
                    other.terminate()
                sys.exit(f"This run failed: {' '.join(run)}")
            figures = json.loads(pathlib.Path(run[-1]).read_text())
            print(
                *run[:3],
                *(f"{m} {figures[m]:.4f}" for m in ("accuracy", "nll")),
                f"{figures['seconds']:.0f} s",
                flush=True,
            )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--regimes", nargs="+", choices=REGIMES, default=["A", "B", "C"]
    )
    parser.add_argument(
        "--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS)
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--data_dir")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument(
        "--results",
        type=pathlib.Path,
        default=pathlib.Path(__file__).parent / "results",
    )
    arguments = parser.parse_args()
    train(missing(arguments), arguments.processes, arguments.data_dir)
    for regime in arguments.regimes:
        table = summary.Table(
            arguments.results, regime, arguments.variants, arguments.seeds
        )
        print(table, end="\n\n")
        table.draw(arguments.results / f"{regime}.png")


if __name__ == "__main__":
    main()
