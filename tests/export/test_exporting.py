"""Exported models predict what the network predicts, and are no larger."""

import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_superweights as ksw
from keras_superweights.export import export_network
from keras_superweights.export import format_exported
from keras_superweights.export import formats
from keras_superweights.export import materialize_ensemble
from tests import builders
from tests.export.networks import ALL_OF_ONE
from tests.export.networks import dense
from tests.export.networks import names
from tests.export.networks import randomized

SHAPE = (8, 8, 3)
NAMES = ("member_0", "member_1", "ensemble")

# Loads files where neither this library nor its classes can be imported.
ELSEWHERE = """
import sys
sys.modules["keras_superweights"] = None
import keras, numpy as np
directory = sys.argv[1]
images = np.load(directory + "/images.npy")
for name in ("member_0", "member_1", "ensemble"):
    model = keras.saving.load_model(f"{directory}/{name}.keras")
    np.save(f"{directory}/{name}.npy", model(images))
"""


def two_inputs(named):
    """Inputs and outputs, equal in shape but not in use, by name or listed."""
    late, early = keras.Input((6,), name="a"), keras.Input((6,), name="z")
    hidden = layers.Dense(6, "tanh")(layers.Dense(6, "tanh")(early))
    joint = layers.Dense(2)(layers.Concatenate()([hidden, late]))
    alone = layers.Dense(2)(hidden)
    if named:
        inputs = {"z": early, "a": late}
        return keras.Model(inputs, {"second": joint, "first": alone})
    return keras.Model([early, late], [joint, alone])


def text():
    """Words are looked up in a table, which is no variable."""
    words = keras.Input((4,), dtype="string")
    indices = layers.StringLookup(vocabulary=["one", "two"])(words)
    vectors = layers.Flatten()(layers.Embedding(3, 2)(indices))
    hidden = layers.Dense(5)(vectors)
    return keras.Model(words, layers.Dense(2)(hidden))


@pytest.fixture(scope="module")
def network():
    members = [ksw.models.wide_resnet(10, k, 4, SHAPE) for k in (2, 1)]
    keras.utils.set_random_seed(0)
    return randomized(ksw.SuperWeightNetwork(members, budget_params=0.8))


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory):
    """`(directory, files)` of the ensemble in all formats."""
    directory = tmp_path_factory.mktemp("exported") / "new" / "directory"
    return directory, export_network(network, directory)


def images(count, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(count, *SHAPE)).astype("float32")


def predict(path, inputs):
    """Predicts from one input with whatever lies at a path."""
    if path.suffix == ".keras":
        return keras.saving.load_model(path)(inputs)
    if path.suffix == ".saved_model":
        loaded = tf.saved_model.load(path)
        serve = loaded.signatures["serving_default"]
        (served,) = serve(tf.constant(inputs)).values()
        np.testing.assert_array_equal(served, loaded.serve(inputs))
        return served.numpy()
    interpreter = tf.lite.Interpreter(str(path))
    (given,), (returned,) = (
        interpreter.get_input_details(),
        interpreter.get_output_details(),
    )
    interpreter.resize_tensor_input(given["index"], inputs.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], inputs)
    interpreter.invoke()
    return interpreter.get_tensor(returned["index"])


def test_a_single_member_is_its_own_ensemble(small):
    whole = materialize_ensemble(small)
    (member,) = small.materialize()
    assert whole.get_config() == member.get_config()
    for one, other in zip(whole.weights, member.weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("suffix", [".keras", ".saved_model", ".tflite"])
def test_every_file_predicts_as_the_network(suffix, network, exported):
    directory, _ = exported
    for count in (1, 5):
        inputs = images(count, seed=count)
        whole = network(inputs, training=False)
        members = network.member_outputs(inputs)
        for name, outputs in zip(NAMES, [*members, whole], strict=True):
            path = directory / f"{name}{suffix}"
            found = predict(path, inputs)
            np.testing.assert_allclose(found, outputs, atol=1e-4, err_msg=name)


def test_files_of_an_ensemble_and_their_table(network, exported):
    directory, files = exported
    assert names(directory) == sorted(file.path.name for file in files)
    assert names(directory.parent.parent) == ["new"]
    first, second = (m.count_params() for m in network.materialize())
    parameters = dict(zip(NAMES, (first, second, first + second), strict=True))
    assert len(files) == 9
    table = format_exported(files).splitlines()[2:]
    for file, line in zip(files, table, strict=True):
        path = file.path
        inside = path.rglob("*") if path.is_dir() else [path]
        assert file.size == sum(p.stat().st_size for p in inside if p.is_file())
        assert file.parameters == parameters[path.stem]
        assert 0 <= file.difference < 1e-4
        assert line.split() == [
            str(path),
            f"{file.size / 1024**2:.2f}",
            f"{parameters[path.stem]:,}",
            f"{parameters[path.stem] * 4 / 1024**2:.2f}",
            f"{file.difference:.1e}",
        ]


def test_plain_keras_loads_files_without_this_library(
    network, exported, tmp_path
):
    directory, _ = exported
    for file in directory.glob("*.keras"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    inputs = images(3)
    np.save(tmp_path / "images.npy", inputs)
    command = [sys.executable, "-c", ELSEWHERE, str(tmp_path)]
    subprocess.run(command, cwd=tmp_path, check=True)
    outputs = [*network.member_outputs(inputs), network(inputs)]
    for name, expected in zip(NAMES, outputs, strict=True):
        found = np.load(tmp_path / f"{name}.npy")
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_files_are_as_large_as_their_parameters(tmp_path):
    members = [dense(700, 600, name="one"), dense(700, 500, name="other")]
    network = randomized(ksw.SuperWeightNetwork(members, budget_params=0.7))
    files = export_network(network, tmp_path)
    for file in files:
        needed = 4 * file.parameters
        assert needed > 1_400_000
        assert 0.99 * needed < file.size < 1.2 * needed, file


def test_a_saved_model_stores_every_number_once(exported):
    directory, files = exported
    for file in files:
        if file.format == "saved_model":
            stored = tf.train.list_variables(file.path / "variables/variables")
            sizes = [
                int(np.prod(shape, dtype=int))
                for name, shape in stored
                if name != "_CHECKPOINTABLE_OBJECT_GRAPH"
            ]
            assert sum(sizes) == file.parameters


@pytest.mark.parametrize(
    "member",
    [
        lambda: dense(8, 8),
        lambda: two_inputs(named=True),
        lambda: two_inputs(named=False),
        text,
    ],
    ids=["sequential", "named", "listed", "text"],
)
def test_one_member_with_inputs_and_outputs_of_any_kind(member, tmp_path):
    network = randomized(ksw.SuperWeightNetwork(member()))
    files = export_network(network, tmp_path)
    assert names(tmp_path) == ALL_OF_ONE
    for file in files:
        assert file.difference < 1e-4, file


def test_a_batch_may_be_given(small, tmp_path):
    batch = np.full((2, 6), 3.0)
    (file,) = export_network(small, tmp_path / "one", ["keras"], batch)
    assert file.difference < 1e-4
    random = keras.Input((None, 6))
    hidden = layers.Dense(4)(layers.Dense(4)(random))
    member = keras.Model(
        random, layers.Dense(2)(layers.GlobalMaxPooling1D()(hidden))
    )
    network = ksw.SuperWeightNetwork(member)
    with pytest.raises(ValueError, match=r"`inputs`.*\(None, None, 6\)"):
        export_network(network, tmp_path / "two")
    with pytest.raises(ValueError, match="`inputs` must be a batch"):
        export_network(network, tmp_path / "two", inputs=[batch, batch])
    assert names(tmp_path) == ["one"]
    steps = np.random.default_rng(0).normal(size=(3, 7, 6))
    for file in export_network(network, tmp_path / "two", inputs=steps):
        assert file.difference < 1e-4


def test_the_difference_of_a_wrong_file_is_reported(
    small, tmp_path, monkeypatch
):
    def save_another(model, path):
        model.layers[-1].bias.assign_add([0.0, 0.25, -0.5])
        model.save(path)

    wrong = formats.FORMATS["keras"]._replace(write=save_another)
    monkeypatch.setitem(formats.FORMATS, "keras", wrong)
    (file,) = export_network(small, tmp_path, "keras")
    assert names(tmp_path) == ["model.keras"]
    assert file.difference == pytest.approx(0.5, abs=1e-4)


def test_half_precision_is_averaged_in_float32(tmp_path):
    with builders.dtype_policy("mixed_float16"):
        members = [dense(8, 8, name="twin") for _ in range(2)]
        network = ksw.SuperWeightNetwork(members)
        files = export_network(network, tmp_path, ["keras", "saved_model"])
    assert materialize_ensemble(network).output.dtype == "float32"
    for file in files:
        assert file.difference < 1e-2


def test_existing_files_stay_and_nothing_is_written(small, tmp_path):
    (tmp_path / "model.tflite").write_text("mine")
    with pytest.raises(ValueError, match=r"model\.tflite.*another directory"):
        export_network(small, tmp_path)
    assert names(tmp_path) == ["model.tflite"]
    export_network(small, tmp_path, ["keras", "saved_model"])
    assert (tmp_path / "model.tflite").read_text() == "mine"
    before = (tmp_path / "model.keras").read_bytes()
    with pytest.raises(ValueError, match=r"model\.saved_model"):
        export_network(small, tmp_path, ["saved_model"])
    assert (tmp_path / "model.keras").read_bytes() == before
    assert names(tmp_path) == ALL_OF_ONE


def test_no_file_has_its_name_before_all_are_complete(
    network, tmp_path, monkeypatch
):
    def interrupted(path, model, inputs):
        assert names(tmp_path) == [path.parent.name]
        assert path.parent.name.startswith("unfinished-")
        if path.stem == "ensemble":
            raise KeyboardInterrupt
        return model(inputs)

    last = formats.FORMATS["keras"]._replace(predict=interrupted)
    monkeypatch.setitem(formats.FORMATS, "keras", last)
    with pytest.raises(KeyboardInterrupt):
        export_network(network, tmp_path, ["keras"])
    assert names(tmp_path) == []


def test_other_models_and_places_are_refused(small, tmp_path):
    with pytest.raises(TypeError, match="`network`.*name=dense"):
        materialize_ensemble(dense(8))
    with pytest.raises(TypeError, match="`network`.*name=dense"):
        export_network(dense(8), tmp_path)
    file = pathlib.Path(tmp_path, "file")
    file.write_text("mine")
    for directory in (file, file / "inside"):
        with pytest.raises(ValueError, match="`directory`.*is a file"):
            export_network(small, directory)
    assert file.read_text() == "mine"


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_weights_that_are_not_finite_are_refused_by_name(value, tmp_path):
    network = ksw.SuperWeightNetwork([dense(8, 8)] * 2)
    *_, bias = network.members[1].weights
    bias.assign([0.0, value, 0.0])
    for refused in (
        lambda: export_network(network, tmp_path / "new"),
        lambda: materialize_ensemble(network),
    ):
        with pytest.raises(ValueError, match=r"`network`.*bias \(member 1\)"):
            refused()
    assert names(tmp_path) == []
