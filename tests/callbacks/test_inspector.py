"""What a run shows: read back from its logs, and from TensorBoard itself."""

import copy
import itertools
import json
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_digits

import keras_superweights as ksw
from keras_superweights import figures
from keras_superweights.callbacks import SharingInspector
from keras_superweights.callbacks import write_figures
from keras_superweights.figures import tagged
from tests import builders
from tests.callbacks.networks import X
from tests.callbacks.networks import Y
from tests.callbacks.networks import compiled
from tests.callbacks.networks import member


def network_of(*members, metrics=("accuracy",)):
    network = ksw.SuperWeightNetwork(
        list(members), 0.9, ksw.sharing.SuperWeights(depth_bins=1)
    )
    return compiled(network, metrics=list(metrics))


def fit(network, *callbacks, **kwargs):
    return network.fit(
        X, Y, batch_size=8, callbacks=callbacks, verbose=0, **kwargs
    ).history


def logged(directory):
    """Dict from `(run, tag)` to a list of `(step, value)`, in their order."""
    found = {}
    for file in sorted(directory.glob("*/events*")):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                array = tf.make_ndarray(value.tensor)
                found.setdefault((file.parent.name, value.tag), []).append(
                    (event.step, array.item() if array.ndim == 0 else array)
                )
    return found


def steps(found, run, tag):
    return [step for step, _ in found[run, tag]]


def test_nothing_is_written_before_training(tmp_path, eager):
    directory = tmp_path / "logs"
    callback = SharingInspector(directory, tmp_path / "figures")
    callback = copy.deepcopy(callback)  # as a tuner does for each trial
    assert list(tmp_path.iterdir()) == []
    fit(network_of(member(), member(6)), callback)
    copy.deepcopy(callback)
    assert {path.name for path in directory.iterdir()} == {"train", "figures"}
    assert (tmp_path / "figures" / "allocation-clusters.png").exists()


def test_a_single_network_is_an_ensemble_of_one(tmp_path, eager):
    network = network_of(member(), metrics=["sparse_categorical_accuracy"])
    history = fit(network, SharingInspector(tmp_path), epochs=2)
    found = logged(tmp_path)
    for name, values in history.items():
        expected = [(e, pytest.approx(v)) for e, v in enumerate(values, 1)]
        assert found["train", f"ensemble/{name}"] == expected
    assert not any("member" in tag for _, tag in found)


def test_coefficients_are_shown_as_often_as_wanted(tmp_path, eager):
    network = network_of(member(), member(6))
    fit(network, SharingInspector(tmp_path, every=3), epochs=5)
    found = logged(tmp_path)
    assert steps(found, "figures", "coefficients/cluster_0") == [0, 3, 5]
    assert steps(found, "figures", "allocation/table") == [0]
    assert steps(found, "train", "budget/used") == [1, 2, 3, 4, 5]


def test_a_resumed_run_goes_on_where_it_was(tmp_path, eager):
    network = network_of(member(), member(6))
    callback = SharingInspector(tmp_path)
    fit(network, callback, epochs=2)
    time.sleep(0.01)  # event files are named, and read, in the order of time
    fit(network, callback, epochs=4, initial_epoch=2)
    found = logged(tmp_path)
    assert steps(found, "train", "ensemble/loss") == [1, 2, 3, 4]
    assert sorted(steps(found, "figures", "allocation/clusters")) == [0, 2]


def test_logs_are_on_disk_after_each_epoch(tmp_path, eager):
    seen = []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(steps(logged(tmp_path), "train", "ensemble/loss"))

    # So few scalars per epoch that nothing else would flush them.
    fit(network_of(member()), SharingInspector(tmp_path), Look(), epochs=3)
    assert seen == [[1], [1, 2], [1, 2, 3]]


def test_wrong_use_is_refused(tmp_path, eager):
    for every in (0, -1, 1.5, None):
        with pytest.raises(
            (TypeError, ValueError), match="`every` must be a positive"
        ):
            SharingInspector(tmp_path, every=every)
    plain = member()
    plain.compile("sgd", "mse")
    with pytest.raises(TypeError, match="a `SuperWeightNetwork`.*Functional"):
        fit(plain, SharingInspector(tmp_path))
    assert list(tmp_path.iterdir()) == []


# From here on, a real run and a real TensorBoard.


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory):
    """`(directory, network, history, refinement)` of two epochs on digits."""
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8, 1)[:320].astype("float32") / 16
    data = tf.data.Dataset.from_tensor_slices((images, labels[:320])).batch(32)
    train, test = data.take(8), data.skip(8)
    keras.utils.set_random_seed(1)
    members = [builders.conv_member(width) for width in (4, 6)]
    found = ksw.search.find_clusters(
        members, 0.9, train, tau=0.1, pretrain_epochs=1, verbose=0
    )
    network = ksw.SuperWeightNetwork(members, allocation=found.allocation)
    rate = keras.optimizers.schedules.CosineDecay(0.1, 16)
    compiled(network, keras.optimizers.SGD(rate, momentum=0.9), ["accuracy"])
    directory = tmp_path_factory.mktemp("digits_run")
    logs, drawn = directory / "logs", directory / "figures"
    history = network.fit(
        train,
        epochs=2,
        shuffle=False,
        validation_data=test,
        callbacks=[
            ksw.callbacks.CoefficientDecoupling(beta=0.9, epoch=1),
            SharingInspector(logs, drawn, found),
        ],
        verbose=0,
    ).history
    logits, truth = ksw.metrics.predict_members(network, test)
    report = ksw.metrics.evaluate_members(
        logits, truth, [ksw.metrics.count_flops(m) for m in network.members]
    )
    write_figures(
        logs,
        {
            "training/curves": figures.training_curves(history),
            "evaluation/reliability": figures.reliability(
                ksw.metrics.ensemble_probabilities(logits), truth
            ),
            "evaluation/anytime": figures.anytime_curve(report["anytime"]),
        },
        step=2,
        figures_dir=drawn,
    )
    return directory, network, history, found


@pytest.fixture(scope="module")
def tensorboard(digits_run):
    """A function that gets a path from a TensorBoard on the run's logs."""
    directory, *_ = digits_run
    output = directory / "tensorboard.txt"
    with output.open("w") as file:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tensorboard.main"),
                *("--logdir", str(directory / "logs")),
                *("--host", "127.0.0.1", "--port", "0", "--load_fast=false"),
            ],
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        address = wait_for(
            lambda: re.search(r"http://127\.0\.0\.1:\d+", output.read_text())
        )[0]

        def get(path, query="", **arguments):
            query = query or urllib.parse.urlencode(arguments)
            url = f"{address}/data/plugin/{path}?{query}"
            with urllib.request.urlopen(url, timeout=30) as response:
                return response.read()

        # It reads a run after the other: the last figure is read last.
        wait_for(lambda: b"evaluation/anytime" in get("images/tags"))
        wait_for(lambda: {"train", "validation"} <= runs(get("scalars/tags")))
        yield get
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_for(condition, seconds=90):
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, "TensorBoard took too long."
        time.sleep(0.2)
    return result


def runs(answer):
    return json.loads(answer).keys()


def test_tensorboard_serves_every_curve(digits_run, tensorboard):
    _, network, history, _ = digits_run
    expected = {
        ("train", "budget/allowed"): [network.allocation.budget_params] * 2,
        ("train", "budget/used"): [network.allocation.num_params] * 2,
        ("train", "optimizer/learning_rate"): [0.05, 0.0],  # cosine of 2
    }
    for quantity in ("loss", "accuracy"):
        for key, tag in (
            (quantity, f"ensemble/{quantity}"),
            (f"member_0_{quantity}", f"member_0/{quantity}"),
            (f"member_1_{quantity}", f"member_1/{quantity}"),
        ):
            expected["train", tag] = history[key]
            expected["validation", tag] = history[f"val_{key}"]
    expected["train", "ensemble/diversity"] = history["diversity"]
    expected["validation", "ensemble/diversity"] = history["val_diversity"]

    tags = json.loads(tensorboard("scalars/tags"))
    assert {(r, t) for r in tags for t in tags[r]} == expected.keys()
    for (run, tag), values in expected.items():
        points = json.loads(tensorboard("scalars/scalars", run=run, tag=tag))
        assert [step for _, step, _ in points] == [1, 2]
        served = [value for _, _, value in points]
        assert served == pytest.approx(values, abs=1e-6), (run, tag)


def test_tensorboard_serves_every_figure(digits_run, tensorboard):
    directory, network, _, found = digits_run
    at_start = dict.fromkeys(dict(tagged.search_figures(found)), [0])
    assert any("similarity" in tag for tag in at_start)
    coefficients = dict(tagged.coefficient_figures(network))
    assert coefficients
    expected = {
        **at_start,
        "allocation/clusters": [0],
        "allocation/parameters": [0],
        **dict.fromkeys(coefficients, [0, 1, 2]),
        "training/curves": [2],
        "evaluation/reliability": [2],
        "evaluation/anytime": [2],
    }
    tags = json.loads(tensorboard("images/tags"))["figures"]
    assert tags.keys() == expected.keys()
    files = {path.name for path in (directory / "figures").iterdir()}
    assert files == {tag.replace("/", "-") + ".png" for tag in expected}
    for tag, at_steps in expected.items():
        images = json.loads(
            tensorboard("images/images", run="figures", tag=tag, sample=0)
        )
        assert [image["step"] for image in images] == at_steps, tag
        served = tensorboard("images/individualImage", images[-1]["query"])
        file = directory / "figures" / f"{tag.replace('/', '-')}.png"
        np.testing.assert_array_equal(
            tf.io.decode_png(served, channels=3),
            tf.io.decode_png(file.read_bytes(), channels=3),
        )


def test_tensorboard_serves_the_allocation_as_text(digits_run, tensorboard):
    _, network, _, _ = digits_run
    tags = json.loads(tensorboard("text/tags"))
    assert tags == {"figures": ["allocation/table"]}
    (entry,) = json.loads(
        tensorboard("text/text", run="figures", tag="allocation/table")
    )
    assert entry["step"] == 0
    # A block of code keeps the columns of the table.
    shown = re.search(r"<pre><code>(.*)</code></pre>", entry["text"], re.S)[1]
    shown = shown.replace("&#39;", "'").strip().splitlines()
    table = str(network.allocation).strip().splitlines()
    for line, expected in itertools.zip_longest(shown, table):
        assert line.rstrip() == expected.rstrip()
