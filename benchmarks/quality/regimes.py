"""The data, members and budgets that ways of sharing are compared in."""

from dataclasses import dataclass

from configs import base
from configs import cifar_recipe
from keras_superweights.models.narrowing import count

ALIKE = ((16, 2), (16, 2), (16, 2))
UNLIKE = ((22, 2), (16, 2), (16, 1), (10, 2))


@dataclass(frozen=True)
class Regime:
    """Members, data and a budget.

    Attributes:
        says: What it is, for the title of a table.
        members: `(depth, width)` of each wide ResNet.
        budget: Part of the members' parameters.
        num_images: Images to train on; None for the digits.
        side: Pixels of a side of an image.
        epochs: Epochs of training.
        variants: The variants that work with so small a budget; all if empty.
    """

    says: str
    members: tuple[tuple[int, int], ...]
    budget: float
    num_images: int | None = 5000
    side: int = 16
    epochs: int = 14
    variants: tuple[str, ...] = ()

    def config(self, seed, data_dir=None):
        """Returns the experiment, without a way of sharing."""
        config = cifar_recipe.get_base()
        data = config.data
        if self.num_images is None:
            data.name = "sklearn_digits"
            data.train_split = "train[:300]"
            data.test_split = "train[300:]+test"
            data.pad, data.flip, data.batch_size = 1, False, 32
        else:
            data.label = "coarse_label"
            data.train_split = f"train[:{self.num_images}]"
            data.size = self.side
            data.pad = self.side // 8  # CIFAR's 4 of 32 pixels
            data.batch_size = 64
            data.data_dir = data_dir
        config.optimizer.schedule = "cosine"
        config.optimizer.drop_epochs = ()
        config.optimizer.drop_factor = None
        config.members = base.wide_resnets(*self.members)
        config.sharing = base.rule("Independent")
        config.epochs = self.epochs
        config.seed = seed
        return config

    def budget_params(self, members):
        """Returns the budget as a number of parameters.

        `members` are the models that a config of this regime describes.
        """
        return round(self.budget * count(members))


REGIMES = {
    "A": Regime(
        "300 digits, three WRN-16-1 in the size of one",
        ((16, 1),) * 3,
        1 / 3,
        num_images=None,
        epochs=40,
    ),
    "B": Regime("CIFAR-20, three WRN-16-2 in the size of one", ALIKE, 1 / 3),
    "B-half": Regime(
        "CIFAR-20, three WRN-16-2 in half the size of one", ALIKE, 1 / 6
    ),
    "B-twice": Regime(
        "CIFAR-20, three WRN-16-2 in twice the size of one", ALIKE, 2 / 3
    ),
    "C": Regime(
        "CIFAR-20, WRN-22-2, 16-2, 16-1 and 10-2 in 40 % of their size",
        UNLIKE,
        0.4,
    ),
    "D": Regime(
        "CIFAR-20 at 32x32, three WRN-16-2 in the size of one",
        ALIKE,
        1 / 3,
        num_images=10_000,
        side=32,
    ),
    "single": Regime(
        "CIFAR-20, one WRN-16-2 in a tenth of its size",
        ALIKE[:1],
        0.1,
        variants=("independent", "narrow", "shapeshifter"),
    ),
}

# Regimes that differ only in the budget have the same unshared networks.
SAME_UNSHARED = {"B-half": "B", "B-twice": "B"}
