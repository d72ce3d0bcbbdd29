"""Models of all kinds, a batch for each, and how they are compared."""

import keras
import numpy as np

layers = keras.layers
NUM = 8


def text():
    """Embedding, mask, dropout inside and outside of a bidirectional LSTM."""
    words = keras.Input((6,), dtype="int32", name="words")
    x = layers.Embedding(12, 4, mask_zero=True, name="embedding")(words)
    lstm = layers.LSTM(4, dropout=0.3, return_sequences=True)
    x = layers.Bidirectional(lstm, name="both")(x)
    x = layers.LSTM(5, recurrent_dropout=0.2, go_backwards=True)(x)
    x = layers.Dropout(0.3)(x)
    label = layers.Dense(3, name="label")(x)
    return keras.Model(words, label, name="text")


def retrieval():
    """Two towers; their similarity, and a rating."""
    query = keras.Input((6,), dtype="int32", name="query")
    features = keras.Input((5,), name="features")
    table = layers.Embedding(40, 6, mask_zero=True, name="embedding")
    x = layers.GRU(8, return_sequences=True, name="gru1")(table(query))
    x = layers.GRU(6, reset_after=False, name="gru2")(x)
    y = layers.Dense(32, activation="relu", name="dense1")(features)
    y = layers.Dense(6, name="dense2")(y)
    similarity = layers.Dot(-1, normalize=True, name="similarity")([x, y])
    rating = layers.Dense(4, name="rating")(layers.Concatenate()([x, y]))
    return keras.Model(
        {"query": query, "features": features},
        [similarity, rating],
        name="retrieval",
    )


def audio():
    return keras.Sequential(
        [
            keras.Input((12, 3), name="wave"),
            layers.Conv1D(6, 3, padding="causal", activation="relu"),
            layers.BatchNormalization(),
            layers.SeparableConv1D(6, 3, padding="same", activation="relu"),
            layers.DepthwiseConv1D(3, padding="same"),
            layers.Conv1D(6, 3, strides=2, activation="relu"),
            layers.GlobalAveragePooling1D(),
            layers.Dense(3, name="label"),
        ],
        name="audio",
    )


def inverted_residual(x, filters, name):
    y = layers.Conv2D(8, 1, use_bias=False, name=f"{name}_expand")(x)
    y = layers.ReLU(6.0)(layers.BatchNormalization()(y))
    y = layers.DepthwiseConv2D(3, padding="same", name=f"{name}_depth")(y)
    y = layers.ReLU(6.0)(layers.BatchNormalization()(y))
    y = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_project")(y)
    return layers.Add()([x, layers.BatchNormalization()(y)])


def nested():
    """A MobileNetV2 in small, called twice, and a layer called twice in it."""
    image = keras.Input((6, 6, 4))
    twice = layers.Conv2D(4, 3, padding="same", name="twice")
    x = inverted_residual(twice(twice(image)), 4, "block1")
    x = inverted_residual(x, 4, "block2")
    body = keras.Model(image, x, name="body")
    image = keras.Input((6, 6, 4), name="image")
    up = layers.Conv2DTranspose(4, 2, name="up")(body(body(image)))
    x = layers.Flatten()(up)
    top = keras.Sequential(
        [keras.Input((196,)), layers.Dense(5), layers.Dense(3, name="out")],
        name="label",
    )
    return keras.Model(image, top(x), name="nested")


def attention():
    """Layers made in `build`, and a model inside of a wrapper."""
    inputs = keras.Input((6, 4), name="sequence")
    x = layers.MultiHeadAttention(2, 3, name="attention")(inputs, inputs)
    inner = keras.Input((4,))
    inner = keras.Model(inner, layers.Dense(4)(layers.Dense(5)(inner)))
    x = layers.TimeDistributed(inner, name="each")(layers.Add()([x, inputs]))
    x = layers.EinsumDense("abc,cd->abd", (None, 4))(x)
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, layers.Dense(3, name="label")(x), name="att")


def labelled(x):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return x, np.arange(NUM) % 3, {"loss": loss, "metrics": ["accuracy"]}


def words(draw):
    x = draw.integers(1, 12, (NUM, 6))
    x[NUM // 2 :, 3:] = 0  # padding
    return x


def batch(build):
    """Inputs, targets and the arguments of `compile`."""
    draw = np.random.default_rng(0)

    def numbers(*shape):
        return draw.normal(size=(NUM, *shape)).astype("float32")

    if build is text:
        return labelled(words(draw))
    shapes = {audio: (12, 3), nested: (6, 6, 4), attention: (6, 4)}
    if build in shapes:
        return labelled(numbers(*shapes[build]))
    return (
        {"query": words(draw), "features": numbers(5)},
        {"similarity": numbers(1), "rating": np.arange(NUM) % 4},
        {
            "loss": {
                "rating": keras.losses.SparseCategoricalCrossentropy(True),
                "similarity": "mse",
            },
            "loss_weights": {"rating": 0.5, "similarity": 2.0},
            "metrics": {"rating": ["accuracy"], "similarity": ["mae"]},
        },
    )


MODELS = [text, retrieval, audio, nested, attention]


def compiled(model, arguments, optimizer="adam"):
    """Eager: for a few steps, tracing costs more."""
    model.compile(optimizer, **arguments, run_eagerly=True)
    return model


def reloaded(network, directory):
    network.save(directory / "network.keras")
    return keras.models.load_model(directory / "network.keras")


def assert_same_outputs(one, other, atol=1e-5):
    keras.tree.map_structure(
        lambda a, b: np.testing.assert_allclose(a, b, atol=atol), one, other
    )
