"""MixtureEnsembles: four WRN-28-10 whose layers of equal shape share.

ME, sections 3.1 and 5.1 and appendix A.1.

    python -m trainers.train --config configs/cifar_mixture_ensembles.py \
        --workdir runs/mixture_ensembles
    python -m trainers.train --config configs/cifar_mixture_ensembles.py \
        --config.budget_params=120e6 --workdir runs/mixture_ensembles_120m

At 15M some shapes can pay for one plain kernel only; at 7M one store serves
all layers (section 5.1), which the rule finds by itself.

Expected (Tables 1, 2, 3 and 6; at 7M and 15M the paper has a figure only), not
measured here yet: at 36.5M and 120M the figures of `cifar_swn_ho`.
"""

from configs import base
from configs import cifar_recipe


def get_config(variant=""):
    config = cifar_recipe.get_base()
    config.members = 4 * base.wide_resnets((28, 10))
    config.budget_params = 36.5e6
    config.sharing = base.rule("MixtureEnsembles")
    quick = 2 * base.wide_resnets((16, 1))
    return cifar_recipe.finish(config, variant, quick, quick_budget_params=0.6)
