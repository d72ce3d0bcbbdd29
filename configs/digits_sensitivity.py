"""How much depends on tau, beta and the budget (SWN, sections 3.5 and 3.6).

The papers' studies, made small enough for two cores: WRN-28-1, 22-1, 16-1 and
10-1 on scikit-learn's digits, in the size of the first, as WRN-28-10 is the
size of the papers' ensembles. The variant `budgets` starts from one depth bin,
without which the smallest budget, 7/36.5 of that, cannot be met.

    python -m trainers.sensitivity --study tau --workdir runs/tau \
        --config configs/digits_sensitivity.py
    python -m trainers.sensitivity --study beta --workdir runs/beta \
        --config configs/digits_sensitivity.py
    python -m trainers.sensitivity --study budget --workdir runs/budget \
        --config configs/digits_sensitivity.py:budgets
"""

from configs import cifar_recipe
from configs import digits


def get_config(variant=""):
    """The experiment; `"budgets"` for that study, `"quick"` to try it out."""
    config = digits.get_config("quick" if variant == "quick" else "").unlock()
    config.members = cifar_recipe.wide_resnets(
        (28, 1), (22, 1), (16, 1), (10, 1)
    )
    config.budget_params = 369210.0  # a WRN-28-1
    config.epochs = 15
    if variant == "budgets":
        config.sharing.depth_bins = 1
    elif variant == "quick":
        config.members = cifar_recipe.wide_resnets((16, 1), (10, 1))
        config.epochs = 1
    elif variant:
        raise ValueError(
            "The variant after `configs/digits_sensitivity.py:` must be "
            f"'budgets' or 'quick'. Received: {variant!r}."
        )
    return config.lock()
