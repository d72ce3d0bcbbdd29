"""WRN-28-10, the single network that the papers' budgets are named after.

SWN, appendix, Table 5; ME, Tables 1 to 3. 36,536,884 parameters
for CIFAR-100.

    python -m trainers.train --config configs/cifar_single.py \
        --workdir runs/single

Expected (the papers quote it from earlier work): CIFAR-100 79.8 %, NLL 0.875,
ECE 8.6 %; CIFAR-10 96.0 %, NLL 0.159, ECE 2.3 %. Not measured here yet.
"""

from configs import base
from configs import cifar_recipe


def get_config(variant=""):
    config = cifar_recipe.get_base()
    config.members = base.wide_resnets((28, 10))
    config.budget_params = 1.0
    config.sharing = base.rule("Independent")
    quick = base.wide_resnets((10, 2))
    return cifar_recipe.finish(config, variant, quick, quick_budget_params=1.0)
