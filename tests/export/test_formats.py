"""Formats that are requested, and models that one of them cannot hold."""

import traceback

import keras
import pytest
import tensorflow as tf
from keras import layers

import keras_superweights as ksw
from keras_superweights.export import export_network
from tests.export.networks import names


def recurrent():
    steps = keras.Input((5, 4))
    return keras.Model(
        steps, layers.Dense(2)(layers.GRU(3)(layers.Dense(4)(steps)))
    )


def test_a_failed_conversion_leaves_nothing_behind(tmp_path):
    network = ksw.SuperWeightNetwork(recurrent())
    with pytest.raises(ValueError, match="Leave 'litert' out") as error:
        export_network(network, tmp_path / "new" / "dir", ["keras", "litert"])
    assert names(tmp_path) == []
    # The operation, and not the compiler's pages about it.
    assert "convert: TensorListReserve." in str(error.value)
    assert len("".join(traceback.format_exception(error.value))) < 2000
    export_network(network, tmp_path / "here", ["keras"])
    assert names(tmp_path / "here") == ["model.keras"]


def test_failed_conversions_are_skipped_by_default(tmp_path):
    steps = keras.Input((5, 4))
    hidden = layers.Dense(4)(layers.Flatten()(steps))
    converts = keras.Model(steps, layers.Dense(2)(hidden))
    network = ksw.SuperWeightNetwork([converts, recurrent()])
    with pytest.warns(UserWarning) as warned:
        files = export_network(network, tmp_path)
    (message,) = [
        str(each.message)
        for each in warned
        if each.filename == __file__  # its caller's, not TensorFlow's
    ]
    assert "exported: member_1.tflite, ensemble.tflite. LiteRT" in message
    assert names(tmp_path) == sorted(file.path.name for file in files)
    assert names(tmp_path) == [
        *("ensemble.keras", "ensemble.saved_model"),
        *("member_0.keras", "member_0.saved_model", "member_0.tflite"),
        *("member_1.keras", "member_1.saved_model"),
    ]


@pytest.mark.parametrize(
    "formats", ["onnx", [], ["keras", "onnx"], ["tflite"]], ids=str
)
def test_unknown_formats_are_refused(formats, small, tmp_path):
    with pytest.raises(ValueError, match="'keras', 'saved_model', 'litert'"):
        export_network(small, tmp_path, formats)
    assert names(tmp_path) == []


def test_without_the_converter_litert_is_left_out_or_refused(
    small, tmp_path, monkeypatch
):
    monkeypatch.delattr(tf.lite, "TFLiteConverter")
    with pytest.raises(ValueError, match="TFLiteConverter"):
        export_network(small, tmp_path, ["litert"])
    assert names(tmp_path) == []
    export_network(small, tmp_path)
    assert names(tmp_path) == ["model.keras", "model.saved_model"]
