"""How fast the pipeline gives images, and how fast a WRN-16-4 takes them.

    python benchmarks/pipeline.py
    python benchmarks/pipeline.py --name cifar100 --data_dir DIR

Without a name the images are noise of the size of CIFAR, first written as a
tfds set; their content does not change the time. For each recipe:

    pipeline  images per second of the pipeline alone
    step      images per second of training a WRN-16-4 on one batch repeatedly
    both      images per second of training it on the pipeline, as `fit` does
    waiting   the part of that time spent waiting for a batch

`step` and `both` take turns, so that both see the same machine load, and are
medians over the turns. The last rows are photos, JPEG files of 500x375 pixels
resized to 224, without a training step: every core decodes.

Writes everything to --json and prints a table.
"""

import argparse
import contextlib
import io
import itertools
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

PADDED = {"pad": 4, "flip": True}
RECIPES = {
    "pad 4, flip": PADDED,
    "with Cutout 16": PADDED | {"cutout": 16},
    "with mixup and CutMix": PADDED | {"mixup": 0.2, "cutmix": 1.0},
    "Inception crop": {"crop": "inception", "flip": True},
}
OF_PHOTOS = {
    "photos, Inception crop": RECIPES["Inception crop"],
    "photos, middle": {},
}


def noise(rng):
    """Returns an image as large as those of CIFAR."""
    return rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)


def photo(rng):
    """Returns an image as large as most of ImageNet, of 100 KB as JPEG."""
    coarse = tf.image.resize(rng.integers(0, 256, (40, 40, 3)), (375, 500))
    grain = rng.normal(0, 12, (375, 500, 3))
    return np.clip(coarse + grain, 0, 255).astype(np.uint8)


def store(name, image, count, data_dir, **encoding):
    """Writes a tfds set of images that `image` draws."""

    def examples():
        rng = np.random.default_rng(0)
        for index in range(count):
            label = int(rng.integers(100))
            yield index, {"image": image(rng), "label": label}

    features = {
        "image": tfds.features.Image(**encoding),
        "label": tfds.features.ClassLabel(num_classes=100),
    }
    tfds.dataset_builders.store_as_tfds_dataset(
        name,
        version="1.0.0",
        features=tfds.features.FeaturesDict(features),
        split_datasets={"train": examples()},
        data_dir=data_dir,
        disable_shuffling=True,
    )


def images_per_second(batches, num_batches, batch_size):
    start = time.perf_counter()
    for _ in range(num_batches):
        next(batches)
    return num_batches * batch_size / (time.perf_counter() - start)


def endless(images):
    """Returns an iterator over many epochs that has started."""
    batches = iter(images.train(epochs=1000))
    for _ in range(3):
        next(batches)
    return batches


def train(images, arguments):
    """Takes turns of steps on one batch and on those of the pipeline."""
    keras.utils.set_random_seed(0)
    sizes = images.num_classes, images.image_shape
    network = ksw.models.wide_resnet(16, 4, *sizes)
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


def measure(recipes, num_batches, arguments, steps=True, **options):
    """Yields a row for each recipe; `options` are those of the pipeline."""
    for recipe, given in recipes.items():
        images = ImagePipeline(test_split="train", **options, **given)
        batch_size = options["batch_size"]
        speed = images_per_second(endless(images), num_batches, batch_size)
        trained = train(images, arguments) if steps else {}
        yield {"recipe": recipe, "pipeline": speed, **trained}


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
        # tfds would announce downloads that do not happen.
        with contextlib.redirect_stdout(io.StringIO()):
            store("photos", photo, 256, directory, encoding_format="jpeg")
            store("noise", noise, 10_000, directory, shape=(32, 32, 3))
        rows = []
        print("recipe                  pipeline/s  step/s  both/s  waiting")
        small = measure(
            RECIPES,
            arguments.batches,
            arguments,
            name=arguments.name or "noise",
            data_dir=arguments.data_dir if arguments.name else directory,
            batch_size=arguments.batch,
        )
        photos = measure(
            OF_PHOTOS,
            arguments.photo_batches,
            arguments,
            steps=False,
            name="photos",
            data_dir=directory,
            batch_size=64,
            size=224,
        )
        for row in itertools.chain(small, photos):
            line = f"{row['recipe']:<22}  {row['pipeline']:10,.0f}"
            if "step" in row:
                trained = "  {step:6,.0f}  {both:6,.0f}  {waiting:7.1%}"
                line += trained.format(**row)
            print(line, flush=True)
            rows.append(row)
    with open(arguments.json, "w") as file:
        json.dump({"arguments": vars(arguments), "rows": rows}, file)


if __name__ == "__main__":
    main()
