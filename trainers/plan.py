"""Prints what a config's budget buys, without making a single weight.

    python -m trainers.plan --config configs/cifar_swn_he.py

Needs neither the data nor the memory of the networks: a plan of one that would
never fit this machine takes a second. With a search, it is the allocation that
the search starts from.
"""

import pathlib

from absl import app
from absl import flags
from ml_collections import config_flags

from keras_superweights.metrics import count_flops
from trainers import experiment
from trainers import run
from trainers import settings
from trainers.workdir import replacing


def plan(config):
    """Allocates a config.

    Args:
        config: The `ConfigDict` of a file in `configs/`.

    Returns:
        `(allocation, flops)`: the `Allocation`, and the FLOPs of each member
        for one example.

    Raises:
        ValueError: If the config does not describe a run, or the budget is
            too small.
    """
    settings.check(config)
    members = experiment.members(config)
    allocation = experiment.allocate(config, members)
    return allocation, [count_flops(member) for member in members]


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unknown arguments: {argv[1:]}")
    allocation, flops = plan(flags.FLAGS.config)
    print(allocation, end="\n\n")
    for index, (member, cost) in enumerate(
        zip(allocation.members, flops, strict=True)
    ):
        print(
            f"member {index}, {member.name}: {member.num_params:,} parameters "
            f"on its own, {cost / 1e6:,.1f} MFLOPs an example"
        )
    if flags.FLAGS.json:
        with replacing(pathlib.Path(flags.FLAGS.json)) as unfinished:
            unfinished.write_text(allocation.to_json())


if __name__ == "__main__":
    config_flags.DEFINE_config_file(
        "config", None, "File of the experiment; `:quick` shortens it."
    )
    flags.DEFINE_string("json", None, "File for the allocation.")
    flags.mark_flags_as_required(["config"])
    run(main)
