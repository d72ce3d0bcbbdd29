"""Deep ensemble: four WRN-28-10 that share nothing.

SWN, appendix, Table 5; ME, Tables 1 to 3. 146.1M parameters.

    python -m trainers.train --config configs/cifar_deep_ensemble.py \
        --workdir runs/deep_ensemble

Expected (the papers quote it from earlier work): CIFAR-100 82.7 %, NLL 0.666,
ECE 2.1 %, diversity 0.88; CIFAR-10 96.6 %, NLL 0.114, ECE 1.0 %. Not measured
here yet.
"""

from configs import base
from configs import cifar_recipe


def get_config(variant=""):
    config = cifar_recipe.get_base()
    config.members = 4 * base.wide_resnets((28, 10))
    config.budget_params = 1.0
    config.sharing = base.rule("Independent")
    quick = 2 * base.wide_resnets((10, 1))
    return cifar_recipe.finish(config, variant, quick, quick_budget_params=1.0)
