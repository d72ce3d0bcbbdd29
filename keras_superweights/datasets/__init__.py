"""Image classification sets, read through TensorFlow Datasets (tfds)."""

from keras_superweights.datasets.corruptions import corrupt as corrupt
from keras_superweights.datasets.corruptions import (
    corrupted_test as corrupted_test,
)
from keras_superweights.datasets.pipeline import ImagePipeline as ImagePipeline


def __getattr__(name):
    # Imported on first use (PEP 562): its base class needs tfds, which would
    # make `import keras_superweights` slow.
    if name == "SklearnDigits":
        from keras_superweights.datasets.digits import SklearnDigits

        return SklearnDigits
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
