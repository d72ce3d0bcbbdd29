"""Trains an ensemble inside a budget, measures and saves it.

Searches, trains, decouples coefficients and evaluates, as far as the config
asks for it; read `phases/training.py` from top to bottom.

    python -m trainers.train --config configs/digits.py:few --workdir DIR

Any value of the config can be given on the command line:
`--config.budget_params=0.4 --config.seed=1`. `runs/workdir.py` lists the files
of a run. The same command continues an interrupted run, and only prints the
report of a finished one; with `deterministic`, a run ends with the same weights
whether it was interrupted or not.
"""

from absl import flags
from ml_collections import config_flags

from trainers import run
from trainers.phases import report
from trainers.phases.training import train
from trainers.runs.workdir import Workdir


def main(options):
    metrics = train(options.config, options.workdir, options.start_over)
    workdir = Workdir(options.workdir)
    print(f"\n{report.table(metrics)}")
    search_too = ", search included" if metrics["search"] else ""
    print(
        f"training    {metrics['epochs']} epochs in "
        f"{metrics['seconds']:.0f} seconds{search_too}, "
        f"seed {metrics['seed']}\n"
        f"model       {workdir.model}\n"
        f"metrics     {workdir.metrics}\n"
        f"figures     {workdir.figures}/*.png\n"
        f"logs        tensorboard --logdir {workdir.logs}"
    )


if __name__ == "__main__":
    config_flags.DEFINE_config_file(
        "config", None, "File of the experiment; `:quick` shortens it."
    )
    flags.DEFINE_string("workdir", None, "Directory of the run.")
    flags.DEFINE_bool("start_over", False, "Discard an earlier run there.")
    flags.mark_flags_as_required(["config", "workdir"])
    run(main)
