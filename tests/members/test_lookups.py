"""Lookup layers keep the vocabularies that they have learned."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_superweights as ksw
from keras_superweights.sharing import Independent

layers = keras.layers
TEXTS = ["the cat sat", "a dog ran far", "the dog sat", "birds"]
SENTENCES = np.array(TEXTS)[:, None]
WORDS = np.array(["cat", "dog", "cat", "bird"])[:, None]
NUMBERS = np.array([5, 7, 9, 1])[:, None]


FEATURES = {
    "word": WORDS,
    "value": np.array([[1.0], [2], [3], [4]]),
    "number": NUMBERS,
}


def body(inputs, x, table=False):
    if table:
        x = layers.Flatten()(layers.Embedding(20, 6)(x))
    x = layers.Dense(8)(layers.Dense(8)(x))
    return keras.Model(inputs, layers.Dense(2)(x))


def looked_up(name):
    """A model that begins with the lookup of a case, adapted."""
    make, data = CASES[name]
    layer = make()
    if name != "given":
        layer.adapt(data[:3])
    dtype = "int64" if data is NUMBERS else "string"
    inputs = keras.Input((1,), dtype=dtype)
    return body(inputs, layer(inputs), name not in ("weighed", "counted"))


def features():
    kinds = keras.utils.FeatureSpace
    space = kinds(
        {
            "word": kinds.string_categorical(),
            "value": kinds.float_normalized(),
            "number": kinds.integer_categorical(),
        },
        output_mode="concat",
        crosses=[("word", "number")],
    )
    space.adapt(tf.data.Dataset.from_tensor_slices(FEATURES))
    return body(space.get_inputs(), space.get_encoded_features())


def lookup(kind, **kwargs):
    return lambda: getattr(layers, kind)(**kwargs)


CASES = {
    "texts": (lookup("TextVectorization", output_sequence_length=4), SENTENCES),
    "weighed": (lookup("TextVectorization", output_mode="tf_idf"), SENTENCES),
    "counted": (
        lookup("StringLookup", output_mode="multi_hot", num_oov_indices=2),
        WORDS,
    ),
    "strings": (lookup("StringLookup", mask_token=""), WORDS),
    "integers": (lookup("IntegerLookup"), NUMBERS),
    "given": (lookup("StringLookup", vocabulary=["cat", "dog"]), WORDS),
    "features": (None, FEATURES),
}


@pytest.mark.parametrize("name", CASES)
def test_every_copy_has_the_vocabulary(name, tmp_path):
    model = features() if name == "features" else looked_up(name)
    x = keras.tree.map_structure(tf.constant, CASES[name][1])
    network = ksw.share(model, 1.0, Independent(), initialize="weights")
    np.testing.assert_allclose(network(x), model(x), atol=1e-6)
    network.compile("sgd", "mse", run_eagerly=True)
    network.fit(x, np.ones((4, 2)), verbose=0)
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    (plain,) = loaded.materialize()
    plain.save(tmp_path / "plain.keras")
    copies = [loaded, plain, keras.models.load_model(tmp_path / "plain.keras")]
    for each in (*copies, *network.materialize()):
        np.testing.assert_allclose(each(x), network(x), atol=1e-6)
    assert len(np.unique(np.array(network(x))[:, 0])) > 2


def test_a_function_may_adapt_its_model():
    network = ksw.share(lambda: looked_up("texts"), 0.9)
    found = network(tf.constant(SENTENCES))
    np.testing.assert_allclose(
        network.materialize()[0](tf.constant(SENTENCES)), found, atol=1e-6
    )


def test_the_model_given_is_left_as_it_was():
    model = looked_up("strings")
    (lookup,) = (each for each in model.layers if "lookup" in each.name)
    ksw.share(model, 0.9)
    assert lookup.get_config()["vocabulary"] is None


def test_a_layer_that_has_not_been_adapted_is_refused():
    inputs = keras.Input((1,), dtype="string")
    lookup = layers.StringLookup(name="words")
    model = body(inputs, lookup(inputs), True)
    with pytest.raises(ValueError, match=r"that of \['words'\] is empty"):
        ksw.share(model, 0.9)
