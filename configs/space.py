"""What `trainers.tune` varies, unless `--space` names another file.

Ranges `(low, high)`: the budget, on a log scale, in fractions of what the
members have when they share nothing, or, above 100, in scalars; the learning
rate, on a log scale; tau and beta. Choices: the others. `members` is what each
member may be. Any of them can be given on the command line; equal ends fix a
value: `--space.tau="(0.1, 0.1)"`. A file with fewer keys varies less, and
leaves the rest to the experiment's config.
"""

from ml_collections import ConfigDict


def get_config():
    space = ConfigDict()
    space.budget_params = (0.3, 1.0)
    space.learning_rate = (0.03, 0.3)
    space.tau = (-0.2, 0.4)
    space.beta = (0.1, 1.0)
    space.depth_bins = (1, 2, 4)
    space.max_templates = (2, 4, 8)
    space.num_members = (1, 2, 3)
    space.members = (
        {"model": "wide_resnet", "depth": 10, "width": 1},
        {"model": "wide_resnet", "depth": 10, "width": 2},
        {"model": "wide_resnet", "depth": 16, "width": 1},
        {"model": "wide_resnet", "depth": 16, "width": 2},
    )
    return space.lock()
