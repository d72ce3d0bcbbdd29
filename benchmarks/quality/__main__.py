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
import multiprocessing
import pathlib
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import as_completed

from benchmarks.quality import summary
from benchmarks.quality.regimes import REGIMES
from benchmarks.quality.run import run
from benchmarks.quality.run import use_one_thread
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
            yield regime, variant, seed, path


def train(runs, processes, data_dir):
    """Trains runs in parallel, each in a process of its own."""
    with ProcessPoolExecutor(
        processes,
        multiprocessing.get_context("spawn"),
        use_one_thread,
        max_tasks_per_child=1,
    ) as pool:
        started = {pool.submit(run, *each, data_dir): each for each in runs}
        for done in as_completed(started):
            *names, path = started[done]
            if error := done.exception():
                pool.shutdown(cancel_futures=True)
                raise RuntimeError(f"This run failed: {names}") from error
            figures = json.loads(path.read_text())
            print(
                *names,
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
