"""The recipe of the ImageNet experiments.

SWN, appendix 1, and ME, appendix A.2: 90 epochs of SGD in batches of 1,024,
momentum 0.9 without Nesterov's, rate 1.6 times 0.1 at epochs 30, 60 and 80,
after a linear warm-up of 10; weight decay 1e-4, not on batch normalization;
labels smoothed by 0.1; "standard Inception-style" images.

Those are random parts of 8 to 100 % of the area, flipped, of 224 pixels; the
test, the 50,000 images of the split "validation", is on the middle of images
whose shorter side is 256 pixels.

ImageNet must be prepared on disk, in tfds' own directory or in
`--config.data.data_dir`, on an SSD: each epoch reads images in a new order.
Each experiment is `configs/<file>.py`; `configs/<file>.py:quick` trains one
epoch of a tiny network of the same kind on digits and needs no ImageNet.
"""

from configs import base


def get_base():
    """Returns the recipe, without members, budget and sharing."""
    config = base.get_base()
    config.data.name = "imagenet2012"
    config.data.test_split = "validation"
    config.data.batch_size = 1024
    config.data.size = 224
    config.data.crop = "inception"
    config.data.flip = True
    config.data.label_smoothing = 0.1

    config.optimizer.learning_rate = 1.6
    config.optimizer.nesterov = False
    config.optimizer.schedule = "steps"
    config.optimizer.drop_epochs = (30, 60, 80)
    config.optimizer.drop_factor = 0.1
    config.optimizer.warmup_epochs = 10
    config.optimizer.weight_decay = 1e-4
    config.optimizer.decay_batch_norm = False
    config.epochs = 90
    return config
