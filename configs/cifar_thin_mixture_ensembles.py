"""Thin MixtureEnsembles: four WRN-28-5, with the FLOPs of one WRN-28-10.

ME, appendix A.1: trained for 1000 epochs, and templates also for a shape
that every member has only once.

    python -m trainers.train --config configs/cifar_thin_mixture_ensembles.py \
        --workdir runs/thin_mixture_ensembles

Expected (Tables 2 and 3): CIFAR-100 at 36.5M 82.3 %, NLL 0.689, ECE 2.4 %.
Not measured here yet.
"""

from configs import base
from configs import cifar_recipe


def get_config(variant=""):
    config = cifar_recipe.get_base()
    config.members = 4 * base.wide_resnets((28, 5))
    config.budget_params = 36.5e6
    config.sharing = base.rule("MixtureEnsembles", mix_single_layers=True)
    config.optimizer.drop_epochs = (300, 600, 900)
    config.epochs = 1000
    quick = 2 * base.wide_resnets((10, 1))
    return cifar_recipe.finish(config, variant, quick, quick_budget_params=0.9)
