"""BatchEnsemble: four WRN-28-10, one kernel a layer times vectors of each.

ME, Tables 1 to 3; the recipe is that of google/uncertainty-baselines,
`baselines/cifar/batchensemble.py`, for 128 images an update, with ensemble
batch norm. 36.7M parameters.

    python -m trainers.train --config configs/cifar_batch_ensemble.py \
        --workdir runs/batch_ensemble

Expected: CIFAR-100 81.9 %, ECE 2.8 %, diversity 0.40; CIFAR-10 96.2 %, ECE
1.8 %. Not measured here yet.
"""

from configs import base
from configs import cifar_recipe

MEMBERS = 4


def get_config(variant=""):
    config = cifar_recipe.get_base()
    config.members = MEMBERS * base.wide_resnets((28, 10))
    config.budget_params = 36.7e6
    config.sharing = base.rule("BatchEnsemble", start=-0.5, rate=0.5)
    # There the mean of the members' losses is minimised, here their sum: a
    # step is the same with this rate and decay. The gradient of the authors'
    # L2 regularization, 3e-4 times the sum of squares, has twice that factor.
    config.optimizer.learning_rate = 0.1 / MEMBERS
    config.optimizer.weight_decay = 2 * 3e-4 * MEMBERS
    config.optimizer.warmup_epochs = 1
    config.optimizer.drop_epochs = (100, 200, 225)
    config.epochs = 250
    quick = 2 * base.wide_resnets((16, 1))
    return cifar_recipe.finish(config, variant, quick, quick_budget_params=0.6)
