"""MixtureEnsembles: four ResNet-50 in the size of one, on ImageNet.

ME, section 4.2 and appendix A.2: layers of equal shape share, and templates
are dealt so that no two layers mix the same before all have been.

    python -m trainers.train --config configs/imagenet_mixture_ensembles.py \
        --workdir runs/imagenet_mixture_ensembles
    python -m trainers.train --config configs/imagenet_mixture_ensembles.py \
        --config.budget_params=51.2e6 --workdir runs/imagenet_51m

The ResNet-50 is that of `keras.applications`, with 25.6M parameters as in the
paper: it strides in the first convolution of a block, its convolutions have
biases, and its batch normalization momentum 0.99. It needs 32 pixels: in the
quick variant, on digits of 8x8, a WRN-16-1 takes its place. The papers train
ensembles on 64 GPUs, whose batch normalization is over 16 images each.

Expected (Table 5), not measured here yet:

                            budget   accuracy
    MixtureEnsembles         25.6M     77.2 %
    MixtureEnsembles         51.2M     77.9 %
    one network              25.6M     76.4 %
    four, nothing shared    102.4M     77.5 %
"""

from configs import base
from configs import imagenet_recipe


def get_config(variant=""):
    config = imagenet_recipe.get_base()
    config.members = 4 * ({"model": "ResNet50"},)
    config.budget_params = 25.6e6
    config.sharing = base.rule("MixtureEnsembles", disjoint=True)
    quick = 2 * base.wide_resnets((16, 1))
    return base.finish(config, variant, quick, quick_budget_params=0.6)
