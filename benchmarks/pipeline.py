"""How fast images come, against how fast a WRN-16-4 takes them.

    python benchmarks/pipeline.py
    python benchmarks/pipeline.py --name cifar100 --data_dir DIR

Without a name the images are noise of the size of CIFAR, written as a tfds set
first: what is on them does not change the time. For each recipe:

    pipeline  images per second of the pipeline, nothing done with them
    step      of training a WRN-16-4 on one batch, again and again
    both      of training it on what the pipeline gives, as `fit` does
    waiting   the part of that time in which it waits for a batch

`step` and `both` take turns, so that both see the same machine, and are medians
of the turns. Last come photos, JPEG files of 500x375 pixels brought to 224, for
which there is no step: every core decodes.

Writes everything to --json and prints a table.
"""

import argparse
import contextlib
import io
import json
import os
import statistics
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

import keras_superweights as ksw
from keras_superweights.datasets import ImagePipeline

RECIPES = {
    "pad 4, flip": {"pad": 4, "flip": True},
    "with Cutout 16": {"pad": 4, "flip": True, "cutout": 16},
    "with mixup and CutMix": {
        "pad": 4,
        "flip": True,
        "mixup": 0.2,
        "cutmix": 1.0,
    },
    "Inception crop": {"crop": "inception", "flip": True},
}


class Noise(tfds.core.GeneratorBasedBuilder):
    """10,000 images of noise as large as those of CIFAR."""

    VERSION = tfds.core.Version("1.0.0")
    shape = (32, 32, 3)
    encoding = "png"
    num_examples = 10_000

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(
                        shape=self.shape, encoding_format=self.encoding
                    ),
                    "label": tfds.features.ClassLabel(num_classes=100),
                }
            ),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        rng = np.random.default_rng(0)
        for index in range(self.num_examples):
            label = int(rng.integers(100))
            yield index, {"image": self._image(rng), "label": label}

    def _image(self, rng):
        return rng.integers(0, 256, self.shape, dtype=np.uint8)


class Photos(Noise):
    """JPEG files as large as most of ImageNet, of about 100 KB."""

    VERSION = tfds.core.Version("1.0.0")
    shape = (None, None, 3)
    encoding = "jpeg"
    num_examples = 256

    def _image(self, rng):
        coarse = tf.image.resize(rng.integers(0, 256, (40, 40, 3)), (375, 500))
        grain = rng.normal(0, 12, (375, 500, 3))
        return np.clip(coarse + grain, 0, 255).astype(np.uint8)


def images_per_second(batches, num_batches, batch_size):
    """Of a pipeline that runs already."""
    start = time.perf_counter()
    for _ in range(num_batches):
        next(batches)
    return num_batches * batch_size / (time.perf_counter() - start)


def endless(images):
    """An iterator over many epochs, past its beginning."""
    batches = iter(images.train(epochs=1000))
    for _ in range(3):
        next(batches)
    return batches


def train(images, arguments):
    """Turns of steps on one batch and on those of the pipeline."""
    keras.utils.set_random_seed(0)
    network = ksw.models.wide_resnet(
        16, 4, images.num_classes, images.image_shape
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    if images.mixup or images.cutmix:
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss)
    batches = endless(images)
    same = next(batches)
    network.train_on_batch(*same)
    step, both, waiting = [], [], []
    for _ in range(arguments.turns):
        start = time.perf_counter()
        for _ in range(arguments.steps):
            network.train_on_batch(*same)
        step.append(time.perf_counter() - start)
        start = time.perf_counter()
        waited = 0.0
        for _ in range(arguments.steps):
            before = time.perf_counter()
            batch = next(batches)
            waited += time.perf_counter() - before
            network.train_on_batch(*batch)
        both.append(time.perf_counter() - start)
        waiting.append(waited / both[-1])
    num_images = arguments.steps * arguments.batch
    return {
        "step": num_images / statistics.median(step),
        "both": num_images / statistics.median(both),
        "waiting": statistics.median(waiting),
    }


def measure(name, data_dir, photos_dir, arguments):
    """Yields a row for each recipe."""
    for recipe, options in RECIPES.items():
        images = ImagePipeline(
            name=name,
            data_dir=data_dir,
            test_split="train",
            batch_size=arguments.batch,
            **options,
        )
        alone = images_per_second(
            endless(images), arguments.batches, arguments.batch
        )
        yield {
            "recipe": recipe,
            "pipeline": alone,
            **train(images, arguments),
        }
    for recipe, options in {
        "photos, Inception crop": {"crop": "inception", "flip": True},
        "photos, middle": {},
    }.items():
        images = ImagePipeline(
            name="photos",
            data_dir=photos_dir,
            test_split="train",
            size=224,
            batch_size=64,
            **options,
        )
        alone = images_per_second(endless(images), arguments.photo_batches, 64)
        yield {"recipe": recipe, "pipeline": alone}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--name", help="a tfds set with a split 'train'")
    parser.add_argument("--data_dir")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--batches", type=int, default=300, help="alone")
    parser.add_argument("--photo_batches", type=int, default=30)
    parser.add_argument("--steps", type=int, default=3, help="in a turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json", default="pipeline.json")
    arguments = parser.parse_args()
    tfds.disable_progress_bar()
    with tempfile.TemporaryDirectory() as directory:
        # tfds would announce downloads that there are none of.
        with contextlib.redirect_stdout(io.StringIO()):
            for noise in (Photos, Noise):
                noise(data_dir=directory).download_and_prepare()
        rows = []
        print("recipe                  pipeline/s  step/s  both/s  waiting")
        for row in measure(
            arguments.name or "noise",
            arguments.data_dir if arguments.name else directory,
            directory,
            arguments,
        ):
            line = f"{row['recipe']:<22}  {row['pipeline']:10,.0f}"
            if "step" in row:
                line += (
                    f"  {row['step']:6,.0f}  {row['both']:6,.0f}"
                    f"  {row['waiting']:7.1%}"
                )
            print(line, flush=True)
            rows.append(row)
    with open(arguments.json, "w") as file:
        json.dump({"arguments": vars(arguments), "rows": rows}, file)


if __name__ == "__main__":
    main()
