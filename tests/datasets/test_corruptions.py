import colorsys
import dataclasses
import io
import shutil

import numpy as np
import PIL.Image
import pytest
import scipy.ndimage
import scipy.stats

from keras_superweights.datasets import ImagePipeline
from keras_superweights.datasets import corruptions
from keras_superweights.datasets.corruptions import corrupt
from keras_superweights.datasets.corruptions import corrupted_test
from tests.datasets.sets import TinyColoursCorrupted
from tests.datasets.sets import collect
from tests.datasets.sets import tiny_examples
from tests.datasets.sets import to_pixels


def smooth_images(seed, num_images=4, shape=(32, 32, 3)):
    """Returns images with structure at several scales, like photographs."""
    noise = np.random.default_rng(seed).normal(size=(num_images, *shape))
    images = sum(
        scale * scipy.ndimage.gaussian_filter(noise, (0, scale, scale, 0))
        for scale in (0.5, 2, 6)
    )
    low, high = images.min(), images.max()
    return np.rint((images - low) / (high - low) * 255).astype(np.uint8)


def levels(*strengths):
    """Returns pairs of a severity and its strength."""
    return list(enumerate(strengths, start=1))


@pytest.mark.parametrize("corruption", corruptions.CORRUPTIONS)
@pytest.mark.parametrize("shape", [(32, 32, 3), (8, 8, 1), (12, 10, 1)])
def test_shape_and_type_are_kept_and_the_input_unchanged(corruption, shape):
    images = smooth_images(0, shape=shape)
    before = images.copy()
    for severity in range(1, 6):
        changed = corrupt(images, corruption, severity)
        assert changed.shape == images.shape
        assert changed.dtype == "uint8"
        assert (changed.numpy() != images).any()
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize("corruption", corruptions.CORRUPTIONS)
@pytest.mark.parametrize("seed", range(3))
def test_a_severer_corruption_is_further_from_the_image(corruption, seed):
    images = smooth_images(seed, num_images=8)
    distances = []
    for severity in range(1, 6):
        changed = corrupt(images, corruption, severity, seed).numpy()
        distances.append(np.mean((changed.astype(float) - images) ** 2))
    assert distances == sorted(distances)
    assert len(set(distances)) == 5


@pytest.mark.parametrize("corruption", corruptions.CORRUPTIONS)
def test_seeds_repeat_and_matter_only_to_noise(corruption):
    images = smooth_images(0)
    first, again, other = (
        corrupt(images, corruption, 3, seed).numpy() for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any() == corruption.endswith("noise")


def flat(value, channels=1):
    return np.full((20, 32, 32, channels), value, np.uint8)


@pytest.mark.parametrize(
    ("severity", "deviation"), levels(0.04, 0.06, 0.08, 0.09, 0.10)
)
def test_gaussian_noise_has_its_deviation(severity, deviation):
    noise = corrupt(flat(128), "gaussian_noise", severity) / 255 - 128 / 255
    assert np.std(noise) == pytest.approx(deviation, rel=0.03)
    assert np.mean(noise) == pytest.approx(0, abs=0.003)


@pytest.mark.parametrize(("severity", "photons"), levels(500, 250, 100, 75, 50))
def test_shot_noise_is_that_of_counted_photons(severity, photons):
    for value in (20, 120):
        changed = corrupt(flat(value), "shot_noise", severity).numpy()
        # Rounded, since a photon is not a whole number of grey levels.
        counts = np.arange(4 * photons)
        shares = scipy.stats.poisson.pmf(counts, value / 255 * photons)
        levels = np.minimum(np.rint(counts / photons * 255), 255)
        mean = levels @ shares
        variance = (levels - mean) ** 2 @ shares
        assert np.mean(changed) == pytest.approx(mean, rel=0.01)
        assert np.var(changed) == pytest.approx(variance, rel=0.05)


@pytest.mark.parametrize(
    ("severity", "fraction"), levels(0.01, 0.02, 0.03, 0.05, 0.07)
)
def test_impulse_noise_is_half_salt_half_pepper(severity, fraction):
    changed = corrupt(flat(99, 3), "impulse_noise", severity).numpy()
    assert set(np.unique(changed)) == {0, 99, 255}
    for extreme in (0, 255):
        share = np.mean(changed == extreme)
        assert share == pytest.approx(fraction / 2, rel=0.12)
    # Every channel independently.
    pixels = (changed != 99).any(axis=-1).mean()
    assert pixels == pytest.approx(1 - (1 - fraction) ** 3, rel=0.1)


def blurred(image, deviation):
    return scipy.ndimage.gaussian_filter(
        image.astype(float), (deviation, deviation, 0), mode="nearest"
    )


def brighter(image, amount):
    """Adds to the value of HSV, pixel by pixel."""
    pixels = []
    for pixel in image.reshape(-1, image.shape[-1]) / 255:
        h, s, v = colorsys.rgb_to_hsv(*np.broadcast_to(pixel, 3))
        pixels.append(colorsys.hsv_to_rgb(h, s, min(v + amount, 1)))
    channels = image.shape[-1]
    return np.reshape([p[:channels] for p in pixels], image.shape) * 255


def less_contrast(image, fraction):
    mean = image.mean((0, 1))
    return mean + fraction * (image - mean)


def pixelated(image, fraction):
    picture = PIL.Image.fromarray(image.squeeze())
    small = [int(side * fraction) for side in picture.size]
    for size in (small, picture.size):
        picture = picture.resize(size, PIL.Image.Resampling.BOX)
    return np.reshape(picture, image.shape)


def compressed(image, quality):
    code = io.BytesIO()
    picture = PIL.Image.fromarray(image.squeeze())
    picture.save(code, "JPEG", quality=quality)
    return np.reshape(PIL.Image.open(code), image.shape)


@pytest.mark.parametrize("shape", [(32, 32, 3), (32, 32, 1), (8, 8, 3)])
@pytest.mark.parametrize(
    ("corruption", "expected", "strengths"),
    [
        ("gaussian_blur", blurred, (0.4, 0.6, 0.7, 0.8, 1.0)),
        ("brightness", brighter, (0.05, 0.1, 0.15, 0.2, 0.3)),
        ("contrast", less_contrast, (0.75, 0.5, 0.4, 0.3, 0.15)),
        ("pixelate", pixelated, (0.95, 0.9, 0.85, 0.75, 0.65)),
        ("jpeg_compression", compressed, (80, 65, 58, 50, 40)),
    ],
)
def test_it_agrees_with_scipy_pillow_or_the_formula(
    corruption, expected, strengths, shape
):
    images = smooth_images(1, shape=shape)
    if corruption in ("gaussian_blur", "contrast"):
        images = images[:, 1:, :, :2]  # any shape
    if corruption == "brightness":
        images[0, 0, 0] = 0
        images[0, 0, 1] = (255, 0, 0)[: shape[-1]]
    for severity, strength in levels(*strengths):
        changed = corrupt(images, corruption, severity).numpy()
        for before, after in zip(images, changed, strict=True):
            error = np.abs(after - expected(before, strength).astype(float))
            if corruption == "jpeg_compression":
                # Libraries may round a coefficient differently.
                assert error.mean() < 0.1
            else:
                # Pillow rounds between rows and columns too.
                assert error.max() <= (1 if corruption == "pixelate" else 0.51)


@pytest.mark.parametrize("corruption", ["gaussian_noise", "jpeg_compression"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_corrupted_test_split_is_like_the_clean_one(
    make_pipeline, corruption, smoothing, monkeypatch
):
    monkeypatch.setattr(corruptions, "_EXAMPLES_AT_ONCE", 4)
    images, _ = tiny_examples("test")
    pipeline = make_pipeline(batch_size=8, label_smoothing=smoothing)
    batches, source = corrupted_test(pipeline, corruption, 3)
    assert source == "generated"
    assert batches.element_spec == pipeline.test().element_spec
    assert [len(labels) for _, labels in batches] == [8, 2]
    normalized, labels = collect(batches)
    np.testing.assert_array_equal(labels, collect(pipeline.test())[1])
    pixels = (normalized * pipeline.deviation + pipeline.mean) * 255
    np.testing.assert_allclose(pixels, np.rint(pixels), atol=1e-3)
    if corruption == "jpeg_compression":
        expected = corrupt(images, corruption, 3)
        np.testing.assert_allclose(pixels, expected, atol=1e-3)
    else:
        noise = pixels - images
        assert 5 < noise.std() < 0.08 * 255
        # Every block of 4 has its own noise.
        kept = (pixels > 0.5) & (pixels < 254.5)
        both = kept[:4] & kept[4:8]
        correlation = np.corrcoef(noise[:4][both], noise[4:8][both])[0, 1]
        assert abs(correlation) < 0.2


def test_noise_depends_on_the_seed_and_not_on_the_batch_size(make_pipeline):
    large, small = make_pipeline(batch_size=10), make_pipeline(batch_size=3)
    first, _ = corrupted_test(large, "shot_noise", 4)
    second, _ = corrupted_test(small, "shot_noise", 4)
    other, _ = corrupted_test(small, "shot_noise", 4, seed=1)
    assert [len(labels) for _, labels in second] == [3, 3, 3, 1]
    np.testing.assert_array_equal(collect(first)[0], collect(second)[0])
    assert (collect(second)[0] != collect(other)[0]).any()
    np.testing.assert_array_equal(collect(second)[0], collect(second)[0])


def test_a_prepared_corrupted_set_is_read_instead(tiny_dir, tmp_path):
    shutil.copytree(tiny_dir, tmp_path, dirs_exist_ok=True)
    for config in ("contrast_2", "fog_3"):
        TinyColoursCorrupted(
            data_dir=tmp_path, config=config
        ).download_and_prepare()
    pipeline = ImagePipeline(
        name="tiny_colours:1.2.0", data_dir=tmp_path, batch_size=3
    )
    for corruption, severity in (("contrast", 2), ("fog", 3)):
        batches, source = corrupted_test(pipeline, corruption, severity)
        config = f"{corruption}_{severity}"
        assert source == f"tiny_colours_corrupted/{config}/1.0.0"
        images, labels = collect(batches)
        black = np.zeros((4, 6, 5, 3), int)
        np.testing.assert_array_equal(to_pixels(images, pipeline), black)
        assert sorted(labels) == [0, 1, 2, 3]
    # Sets that are not prepared, or lack the split, are generated.
    assert corrupted_test(pipeline, "contrast", 3)[1] == "generated"
    other_split = dataclasses.replace(pipeline, test_split="train[:5]")
    batches, source = corrupted_test(other_split, "contrast", 2)
    assert source == "generated"
    assert len(collect(batches)[0]) == 5


def test_photos_are_corrupted_as_the_test_looks_at_them(make_photos):
    pipeline = make_photos(label="coarse_label", size=14, batch_size=3)
    images, labels = collect(pipeline.test())
    batches, source = corrupted_test(pipeline, "pixelate", 5)
    assert source == "generated"
    seen, classes = collect(batches)
    np.testing.assert_array_equal(classes, labels)
    pixels = to_pixels(images, pipeline).astype(np.uint8)
    expected = corrupt(pixels, "pixelate", 5)
    np.testing.assert_array_equal(to_pixels(seen, pipeline), expected)
    assert np.any(seen != images, axis=(1, 2, 3)).all()


def test_bad_arguments_are_refused(make_pipeline):
    images = smooth_images(0)
    names = "'gaussian_noise', 'shot_noise'.*'jpeg_compression'"
    with pytest.raises(ValueError, match=f"{names}.*corruption='rain'"):
        corrupt(images, "rain", 1)
    pipeline = make_pipeline()
    message = f"{names}.*'tiny_colours_corrupted/fog_3'.*'fog'"
    with pytest.raises(ValueError, match=message):
        corrupted_test(pipeline, "fog", 3)
    for severity in (0, 6, 1.5, 1.0, "3"):
        message = rf"\(1, 2, 3, 4, 5\).*severity={severity!r}"
        for function, of in ((corrupt, images), (corrupted_test, pipeline)):
            with pytest.raises(ValueError, match=message):
                function(of, "contrast", severity)
    two_channels = r"1 or 3.*\(4, 32, 32, 2\)"
    for bad, corruption, error, message in (
        (images / 255, "contrast", TypeError, "uint8.*float64"),
        (images[0], "contrast", ValueError, r"batch.*\(32, 32, 3\)"),
        (images[..., :2], "jpeg_compression", ValueError, two_channels),
    ):
        with pytest.raises(error, match=message):
            corrupt(bad, corruption, 1)
