"""scikit-learn's handwritten digits as a tfds set that needs no download."""

import numpy as np
import tensorflow_datasets as tfds

_NUM_TEST = 500

_CITATION = """\
@misc{alpaydin1998optical,
  author = {Alpaydin, E. and Kaynak, C.},
  title = {Optical Recognition of Handwritten Digits},
  year = {1998},
  publisher = {UCI Machine Learning Repository},
  doi = {10.24432/C50P49},
}
"""


class SklearnDigits(tfds.core.GeneratorBasedBuilder):
    """The 1,797 digits of scikit-learn, 8x8 pixels, 10 classes.

    The default set: real handwriting that trains in minutes on a CPU and needs
    no network, read through the same tfds pipeline as any other set. The splits
    are stratified by class and always the same: `"train"` has 1,297 images,
    `"test"` 500, each in the order of scikit-learn. Both have digits of the
    same writers, like any split of this set by image.

    An example has `image`, uint8 `(8, 8, 1)`, and `label`, the digit. The
    original amounts of ink, 0 to 16, are scaled to 0 to 255;
    `round(image * 16 / 255)` restores them.

    Example:

    >>> builder = SklearnDigits(data_dir="data")
    >>> builder.download_and_prepare()
    >>> builder.as_dataset(split="test").cardinality().numpy()
    500

    References:
        - [Alpaydin & Kaynak, 1998](https://doi.org/10.24432/C50P49): the test
          part of the UCI set, as `sklearn.datasets.load_digits` returns it.
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description="scikit-learn's 1,797 handwritten digits.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(8, 8, 1)),
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://archive.ics.uci.edu/dataset/80",
            citation=_CITATION,
            # Examples stay in the order of their keys.
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        import sklearn.datasets

        digits = sklearn.datasets.load_digits()
        # Every 3.594th example of the list sorted by class: a fair share of
        # each class, and of each group of writers within it.
        by_class = np.argsort(digits.target, kind="stable")
        test = by_class[np.arange(_NUM_TEST) * len(by_class) // _NUM_TEST]
        train = np.setdiff1d(by_class, test)
        return {
            "train": self._generate_examples(digits, train),
            "test": self._generate_examples(digits, np.sort(test)),
        }

    def _generate_examples(self, digits, indices):
        for index in indices:
            ink = digits.images[index]  # (8, 8), whole numbers 0..16
            pixels = np.rint(ink * (255 / 16)).astype(np.uint8)
            label = int(digits.target[index])
            yield int(index), {"image": pixels[:, :, None], "label": label}
