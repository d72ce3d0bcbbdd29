"""Image classification sets, read through TensorFlow Datasets (tfds)."""

from keras_superweights.datasets.corruptions import corrupt as corrupt
from keras_superweights.datasets.corruptions import (
    corrupted_test as corrupted_test,
)
from keras_superweights.datasets.pipeline import ImagePipeline as ImagePipeline


def __getattr__(name):
    # The builder's base class is tfds itself, which `import keras_superweights`
    # must not pay for: imported when it is first asked for (PEP 562).
    if name == "SklearnDigits":
        from keras_superweights.datasets.digits import SklearnDigits

        return SklearnDigits
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
