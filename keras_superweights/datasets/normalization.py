"""Mean and deviation of the pixels of an image set, per channel."""

import numpy as np

# The values in common use for the whole "train" split, on the scale 0..1. Those
# of the digits were computed from `SklearnDigits`; a test computes them again.
CONSTANTS = {
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "fashion_mnist": ((0.2860,), (0.3530,)),
    "imagenet2012": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "sklearn_digits": ((0.3049,), (0.3754,)),
}


def measure(batches, num_channels):
    """Returns `(mean, deviation)` of the pixels, tuples of a float per channel.

    They are on the scale 0..1; batches are `(images, labels)`, images uint8.
    """
    counts = np.zeros((num_channels, 256))
    for images, _ in batches:
        for channel, pixels in enumerate(np.moveaxis(images, -1, 0)):
            counts[channel] += np.bincount(pixels.ravel(), minlength=256)
    weights = counts / counts.sum(axis=1, keepdims=True)
    values = np.arange(256) / 255
    mean = weights @ values
    deviation = np.sqrt((weights * (values - mean[:, None]) ** 2).sum(axis=1))
    return tuple(mean.tolist()), tuple(deviation.tolist())
