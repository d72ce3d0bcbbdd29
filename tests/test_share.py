"""Models of all kinds through `share`, against plain Keras."""

import inspect
import math
import re

import keras
import numpy as np
import pytest

import keras_superweights as ksw
from keras_superweights.layers import GeneratedKernel
from keras_superweights.layers import walk
from keras_superweights.sharing import Independent
from keras_superweights.sharing import MixtureEnsembles
from keras_superweights.sharing import Shapeshifter

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
    if build is audio:
        return labelled(numbers(12, 3))
    if build is nested:
        return labelled(numbers(6, 6, 4))
    if build is attention:
        return labelled(numbers(6, 4))
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


def assert_same_outputs(one, other, atol=1e-5):
    keras.tree.assert_same_structure(one, other)
    for a, b in zip(
        keras.tree.flatten(one), keras.tree.flatten(other), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=atol)


@pytest.fixture(scope="module", params=MODELS, ids=lambda b: b.__name__)
def trained(request):
    """`(function that builds the model, network trained inside 60 %)`."""
    x, y, arguments = batch(request.param)
    network = compiled(ksw.share(request.param(), 0.6), arguments)
    history = network.fit(x, y, epochs=2, batch_size=NUM, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    return request.param, network


def test_it_is_within_the_budget_to_the_scalar(trained):
    build, network = trained
    count = sum(math.prod(v.shape) for v in network.trainable_variables)
    assert count == network.allocation.num_params
    assert count <= network.allocation.budget_params
    own = sum(math.prod(v.shape) for v in build().trainable_variables)
    assert network.allocation.budget_params == int(0.6 * own)


def test_it_has_the_names_shapes_and_outputs_of_the_model(trained):
    build, network = trained
    model = build()
    assert network.name == model.name
    assert network.input_shape == model.input_shape
    assert network.output_shape == model.output_shape
    assert [t.shape for t in network.inputs] == [t.shape for t in model.inputs]
    assert [t.name for t in network.inputs] == [t.name for t in model.inputs]
    assert [t.shape for t in network.outputs] == [
        t.shape for t in model.outputs
    ]
    # Input tensors and layers have one name.
    assert network.input_names == [t.name for t in model.inputs]
    names = getattr(model, "output_names", ["label"])
    assert network.output_names == names


def test_what_it_is_made_into_predicts_the_same(trained):
    build, network = trained
    x, _, _ = batch(build)
    (plain,) = network.materialize()
    assert type(plain) is type(build())
    assert_same_outputs(plain(x), network(x))
    assert_same_outputs(
        compiled(plain, {}).predict(x, verbose=0),
        network.predict(x, verbose=0),
    )
    kinds = [type(layer) for layer in build()._flatten_layers()]
    assert [type(layer) for layer in plain._flatten_layers()] == kinds


def test_saved_and_loaded_it_predicts_and_trains_on_the_same(trained, tmp_path):
    build, network = trained
    x, y, _ = batch(build)
    network.save(tmp_path / "network.keras")
    loaded = []
    for _ in range(2):
        keras.utils.set_random_seed(0)  # Keras does not save that of dropout
        loaded.append(keras.models.load_model(tmp_path / "network.keras"))
    one, other = loaded
    assert one.allocation == network.allocation
    assert one.output_names == network.output_names
    for model in (one, other):
        assert_same_outputs(model(x), network(x), atol=0)
        model.run_eagerly = True
    expected = one.evaluate(x, y, verbose=0, return_dict=True)
    assert other.evaluate(x, y, verbose=0, return_dict=True) == expected
    losses = [model.train_on_batch(x, y)[0] for model in (one, other)]
    assert losses[0] == losses[1]


def test_evaluation_is_that_of_the_plain_model(trained):
    build, network = trained
    x, y, arguments = batch(build)
    plain = compiled(network.materialize()[0], arguments)
    if build is retrieval:  # for dicts Keras cannot weigh outputs in a list
        y = [y[name] for name in network.output_names]
    weight = np.linspace(0, 2, NUM)
    for kwargs in ({}, {"sample_weight": weight}):
        found = network.evaluate(x, y, verbose=0, return_dict=True, **kwargs)
        expected = plain.evaluate(x, y, verbose=0, return_dict=True, **kwargs)
        assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    "make",
    [lambda: keras.optimizers.SGD(0.5), lambda: keras.optimizers.Adam(0.05)],
    ids=["SGD", "Adam"],
)
@pytest.mark.parametrize("build", MODELS, ids=lambda b: b.__name__)
def test_independent_equals_the_plain_model_step_by_step(build, make):
    x, y, arguments = batch(build)
    model = build()
    network = ksw.share(model, 1.0, Independent())
    if build is attention:  # Keras draws anew for what is not built at once
        network.set_weights(model.get_weights())
    for one, other in zip(model.weights, network.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    for each in (model, network):
        compiled(each, arguments, make())
    losses = []
    for _ in range(3):
        logs = [
            each.train_on_batch(x, y, return_dict=True)
            for each in (model, network)
        ]
        assert logs[0] == pytest.approx(logs[1], abs=1e-5)
        losses.append(logs[0]["loss"])
        for one, other in zip(model.weights, network.weights, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)
    assert np.ptp(losses) > 1e-3


@pytest.mark.parametrize("build", [text, nested], ids=lambda b: b.__name__)
def test_a_traced_step_is_the_eager_one(build):
    x, y, arguments = batch(build)
    weights = []
    for eager in (True, False):
        keras.utils.set_random_seed(0)
        network = ksw.share(build(), 0.6)
        network.compile("sgd", **arguments, run_eagerly=eager)
        network.train_on_batch(x, y)
        weights.append(network.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_mixed_precision_trains():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        x, y, arguments = batch(text)
        network = compiled(ksw.share(text, 0.6), arguments)
        assert np.isfinite(network.train_on_batch(x, y)[0])
        assert network(x).dtype == "bfloat16"
    finally:
        keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("build", [text, nested], ids=lambda b: b.__name__)
def test_layers_frozen_in_the_network_teach_nothing(build):
    x, y, arguments = batch(build)
    network = ksw.share(build(), 0.6)
    for _, layer in walk(network.members[0]):
        layer.trainable = not isinstance(layer, GeneratedKernel)
    compiled(network, arguments, "sgd")
    stores = [bank.store for bank in network.generator.banks]
    before = [np.array(store) for store in stores]
    head = np.array(network.members[0].get_layer("label").get_weights()[-1])
    network.train_on_batch(x, y)
    for store, values in zip(stores, before, strict=True):
        np.testing.assert_array_equal(store, values)
    after = network.members[0].get_layer("label").get_weights()[-1]
    assert np.any(after != head)


def frozen_paths(network):
    return [p for p, each in walk(network.members[0]) if not each.trainable]


@pytest.mark.parametrize(
    ("build", "freeze", "expected"),
    [
        (
            text,
            lambda model: [model.get_layer("both").forward_layer],
            ["both/forward_layer", "both/forward_layer/cell"],
        ),
        (
            nested,  # the second has no weight of its own
            lambda model: [
                model.get_layer("body").get_layer("twice"),
                model.get_layer("body").get_layer("block1_expand"),
            ],
            ["body/twice", "body/block1_expand"],
        ),
        (
            attention,
            lambda model: [model.get_layer("attention")._query_dense],
            ["attention/_query_dense"],
        ),
    ],
    ids=["wrapper", "nested", "attention"],
)
def test_what_is_frozen_inside_is_saved(build, freeze, expected, tmp_path):
    x, y, arguments = batch(build)
    network = ksw.share(build(), 0.6)
    for layer in freeze(network.members[0]):
        layer.trainable = False
    compiled(network, arguments)
    network.train_on_batch(x, y)
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    assert frozen_paths(loaded) == frozen_paths(network) == expected
    assert [v.shape for v in loaded.trainable_variables] == [
        v.shape for v in network.trainable_variables
    ]
    # One of its layers trained again, within what is frozen.
    network.members[0].trainable = False
    network.members[0].get_layer("label").trainable = True
    compiled(network, arguments)
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    assert loaded.members[0].get_layer("label").trainable
    assert frozen_paths(loaded) == frozen_paths(network)


@pytest.mark.parametrize(
    ("build", "freeze"),
    [
        (text, lambda model: model.get_layer("both").backward_layer),
        (text, lambda model: model.get_layer("both")),
        (text, lambda model: model.get_layer("embedding")),
        (nested, lambda model: model.get_layer("body").get_layer("twice")),
        (nested, lambda model: model.get_layer("body")),
        (attention, lambda model: model.get_layer("each").layer),
        (attention, lambda model: model.get_layer("attention")),
        (attention, lambda model: model.get_layer("attention")._key_dense),
    ],
)
def test_what_is_frozen_in_the_model_keeps_its_values(build, freeze, tmp_path):
    x, _, _ = batch(build)
    model = build()
    layer = freeze(model)
    layer.trainable = False
    expected = layer.get_weights()
    assert expected
    network = ksw.share(model, 0.9)
    count = sum(math.prod(v.shape) for v in network.trainable_variables)
    assert count == network.allocation.num_params
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    plain = network.materialize()[0]
    for each in (network.members[0], loaded.members[0], plain):
        assert not any(
            isinstance(inner, GeneratedKernel)
            for inner in freeze(each)._flatten_layers()
        )
        found = freeze(each).get_weights()
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)
    assert_same_outputs(plain(x), network(x))


def test_padding_changes_nothing():
    x, _, _ = batch(text)
    network = ksw.share(text, 0.6)
    longer = x.copy()
    longer[:, 3:] = 0
    with_values = np.where(longer == 0, 0, x)
    np.testing.assert_allclose(network(longer), network(with_values))
    assert not np.allclose(network(longer)[0], network(x)[0])


def test_masks_of_outputs_reach_the_loss():
    def build():
        inputs = keras.Input((6,), dtype="int32")
        x = layers.Embedding(12, 4, mask_zero=True)(inputs)
        x = layers.GRU(5, return_sequences=True)(x)
        return keras.Model(inputs, layers.Dense(3)(x))

    x = words(np.random.default_rng(0))
    y = np.ones((NUM, 6, 3), "float32")
    network = compiled(ksw.share(build, 0.8), {"loss": "mse"}, "sgd")
    plain = compiled(network.materialize()[0], {"loss": "mse"})
    expected = float(np.square(plain(x)[x > 0] - 1).mean())
    assert network.evaluate(x, y, verbose=0) == pytest.approx(
        plain.evaluate(x, y, verbose=0), rel=1e-5
    )
    assert network.train_on_batch(x, y) == pytest.approx(expected, rel=1e-5)


def test_a_model_that_was_compiled_gives_nothing_of_it(tmp_path):
    x, y, arguments = batch(text)
    model = compiled(text(), arguments)
    model.train_on_batch(x, y)
    before = model.get_weights()
    network = ksw.share(model, 0.6)
    assert not network.compiled
    assert not network.members[0].compiled
    assert not network.materialize()[0].compiled
    assert model.compiled
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_other_rules_names_and_arguments_are_passed_on():
    network = ksw.share(
        audio, 0.9, MixtureEnsembles(), name="mine", weight_decay=1e-3
    )
    assert network.name == "mine"
    assert network.weight_decay == 1e-3
    assert network.allocation.sharing.startswith("MixtureEnsembles")
    assert ksw.share(audio, 0.9).allocation.sharing.startswith("Shapeshifter")


@pytest.mark.parametrize("models", [[], [audio], (audio, audio)], ids=len)
def test_several_models_are_refused(models):
    with pytest.raises(TypeError, match="`SuperWeightNetwork"):
        ksw.share(models, 0.5)


NO_MODEL = "`model` must be one Keras model, or a function"


@pytest.mark.parametrize(
    ("model", "budget", "error", "message"),
    [
        (None, 0.5, TypeError, f"{NO_MODEL}.*model=None"),
        ("a.keras", 0.5, TypeError, f"{NO_MODEL}.*model='a.keras'"),
        ({"a": audio}, 0.5, TypeError, NO_MODEL),
        (layers.Dense(3), 0.5, TypeError, NO_MODEL),
        (audio, None, TypeError, "budget_params=None of type NoneType"),
        (audio, "1M", TypeError, "budget_params='1M' of type str"),
        (audio, 0, ValueError, "`budget_params` must be positive"),
        (audio, 0.0, ValueError, "`budget_params` must be positive"),
        (audio, -5, ValueError, "`budget_params` must be positive"),
        (audio, 1e-9, ValueError, "smallest budget"),
        (audio, 1, ValueError, "smallest budget"),
    ],
)
def test_bad_arguments_are_refused(model, budget, error, message):
    with pytest.raises(error, match=message):
        ksw.share(model, budget)


@keras.saving.register_keras_serializable("test_share")
class Own(layers.Layer):
    """A layer of the user's own, with a kernel that nobody knows."""

    def build(self, shape):
        self.matrix = self.add_weight(shape=(shape[-1], 4), name="matrix")

    def call(self, inputs):
        return inputs @ self.matrix


@keras.saving.register_keras_serializable("test_share")
def double(x):
    return 2 * x


def stack(*inner):
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(8, name="a"),
            layers.Dense(8, name="b"),
            *inner,
            layers.Dense(3, name="head"),
        ],
        name="stack",
    )


def partly():
    """Of six kernels two can be shared, and two nobody would expect to."""
    frozen = layers.Dense(4, trainable=False, name="frozen")
    rnn = layers.SimpleRNN(4, name="rnn")
    return stack(layers.Lambda(double), Own(name="own"), frozen, reshaped(rnn))


def reshaped(layer):
    return keras.Sequential([layers.Reshape((2, 2)), layer], name="inner")


def test_what_cannot_be_shared_is_said_and_the_rest_is_shared():
    with pytest.warns(UserWarning, match="Some kernels of 'stack'") as caught:
        network = ksw.share(partly(), 0.9)
    (warning,) = caught
    assert warning.filename == __file__  # where the user has to look
    text = str(warning.message)
    assert "'own/matrix' (32 scalars): Own is not a layer that" in text
    assert "'inner/rnn/cell/kernel', " in text and "SimpleRNNCell is" in text
    assert "frozen" not in text and "head" not in text
    kernels = network.allocation.kernels
    assert [kernel.layer for kernel in kernels] == ["a", "b"]
    assert not network.allocation.private_kernels
    count = sum(math.prod(v.shape) for v in network.trainable_variables)
    assert count == network.allocation.num_params


def test_strict_refuses_what_cannot_be_shared():
    with pytest.raises(ValueError, match="`strict=True`") as caught:
        ksw.share(partly(), 0.9, strict=True)
    for path in ("own/matrix", "inner/rnn/cell/kernel", "recurrent_kernel"):
        assert path in str(caught.value)


@pytest.mark.parametrize("strict", [False, True])
def test_what_the_user_leaves_out_needs_no_word(strict, recwarn):
    model = stack(layers.Lambda(double), layers.BatchNormalization())
    model.get_layer("a").trainable = False
    network = ksw.share(model, 0.9, strict=strict)
    rule = Shapeshifter(exclude="b", kinds="dense")
    ksw.share(stack(layers.Dense(8)), 0.95, rule, strict=strict)
    assert not [w for w in recwarn if w.category is UserWarning]
    x = np.ones((2, 4), "float32")
    np.testing.assert_allclose(
        network.materialize()[0](x), network(x), atol=1e-6
    )


@pytest.mark.parametrize(
    ("stores", "message"),
    [
        (["a", "c"], r"none of which matches 'b'"),
        (["a"], r"none of which matches 'b'.*End with '\*'"),
        (["a", "b", "c"], r"\['c'\] are of no layer"),
        (["a", "b", "head"], r"\['head'\] are of no layer"),
        (["*", "b"], r"\['b'\] are of no layer"),
        ([0, 1, 1], "3 numbers for 2 kernels"),
        ([0], "1 numbers for 2 kernels"),
        ({"a": 0, "b": 1}, r"Received: stores=\{'a': 0, 'b': 1\}"),
    ],
    ids=str,
)
def test_a_mapping_that_is_not_of_all_layers_is_refused(stores, message):
    with pytest.raises(ValueError, match=f"`stores`.*{message}"):
        ksw.share(stack(), 0.9, Shapeshifter(stores=stores))


def test_a_network_is_not_shared_again():
    network = ksw.share(audio, 0.9)
    with pytest.raises(TypeError, match="'audio'.*SuperWeightNetwork already"):
        ksw.share(network, 0.5)
    again = ksw.share(network.materialize()[0], 0.5)
    assert again.allocation.num_params < network.allocation.num_params


def test_the_example_runs_as_written(tmp_path, monkeypatch):
    def small(weights):
        assert weights is None
        inputs = keras.Input((6,))
        x = layers.Dense(8)(layers.Dense(8)(inputs))
        return keras.Model(inputs, layers.Dense(3, "softmax")(x))

    monkeypatch.setattr(keras.applications, "MobileNetV2", small)
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(
        r"```python\n(.*?)```", inspect.getdoc(ksw.share), re.DOTALL
    )
    example = example.replace("budget_params=0.1", "budget_params=0.6")
    names = {"images": np.ones((4, 6)), "labels": np.array([0, 1, 2, 0])}
    exec(example, {**names, "keras": keras, "ksw": ksw})
    loaded = keras.models.load_model("mobilenet.keras")
    assert loaded.output_shape == (None, 3)


def test_a_network_of_several_members_has_no_inputs_of_its_own():
    network = ksw.SuperWeightNetwork([audio(), audio()], 0.8)
    for name in ("inputs", "outputs", "input_names", "output_names"):
        with pytest.raises(AttributeError, match=rf"members\[0\]\.{name}"):
            getattr(network, name)
        assert not hasattr(network, name)
