"""KerasHub's backbones and tasks share whole, in small configurations."""

import functools
import math

import keras
import keras_hub
import numpy as np
import pytest

import keras_superweights as ksw
from keras_superweights.members.shareable import shareable_kernels
from keras_superweights.members.shareable import unshared_kernels

models = keras_hub.models
NUM = 4
TEXT = {"vocabulary_size": 50, "hidden_dim": 8}
HEADS = {"num_layers": 2, "num_heads": 2, "intermediate_dim": 16}
CONFIGS = {
    models.BertBackbone: {**TEXT, **HEADS, "max_sequence_length": 6},
    models.GPT2Backbone: {**TEXT, **HEADS, "max_sequence_length": 6},
    models.GemmaBackbone: {
        **TEXT,
        "num_layers": 2,
        "num_query_heads": 2,
        "num_key_value_heads": 1,
        "intermediate_dim": 32,
        "head_dim": 4,
    },
    models.WhisperBackbone: {
        **TEXT,
        **HEADS,
        "num_layers": 1,
        "num_mels": 4,
        "max_encoder_sequence_length": 8,
        "max_decoder_sequence_length": 6,
    },
    models.ViTBackbone: {
        "image_shape": (8, 8, 3),
        "patch_size": (4, 4),
        "num_layers": 2,
        "num_heads": 2,
        "hidden_dim": 8,
        "mlp_dim": 16,
    },
    models.ResNetBackbone: {
        "input_conv_filters": [64],
        "input_conv_kernel_sizes": [3],
        "stackwise_num_filters": [64, 8],
        "stackwise_num_blocks": [1, 1],
        "stackwise_num_strides": [1, 2],
        "block_type": "basic_block",
        "image_shape": (16, 16, 3),
    },
    models.MiTBackbone: {
        "layerwise_depths": [1, 1],
        "num_layers": 2,
        "layerwise_num_heads": [1, 2],
        "layerwise_sr_ratios": [2, 1],
        "max_drop_path_rate": 0.1,
        "layerwise_patch_sizes": [3, 3],
        "layerwise_strides": [4, 2],
        "image_shape": (32, 32, 3),
        "hidden_dims": [4, 8],
    },
}
TASKS = {
    models.BertTextClassifier: (models.BertBackbone, 3),
    models.GPT2CausalLM: (models.GPT2Backbone,),
    models.GemmaCausalLM: (models.GemmaBackbone,),
    models.ViTImageClassifier: (models.ViTBackbone, 3),
}


def build(kind, *arguments):
    """Builds a backbone or a task in its small configuration."""
    if kind in CONFIGS:
        return kind(**CONFIGS[kind])
    backbone, *rest = TASKS[kind]
    return kind(build(backbone), *rest, *arguments)


def batch(model):
    draw = np.random.default_rng(0)

    def values(tensor):
        shape = [NUM, *(side or 6 for side in tensor.shape[1:])]
        if tensor.name == "encoder_features":
            shape[1] = 8
        if "int" not in tensor.dtype:
            return draw.normal(size=shape).astype("float32")
        if "mask" in tensor.name:
            return np.ones(shape, "int32")
        return draw.integers(0, 2, shape)

    return keras.tree.map_structure(values, model.input)


assert_close = functools.partial(np.testing.assert_allclose, atol=1e-5)


def assert_same(one, other):
    keras.tree.map_structure(assert_close, one, other)


@pytest.fixture(
    scope="module", params=[*CONFIGS, *TASKS], ids=lambda kind: kind.__name__
)
def trained(request):
    """`(model, network trained inside half of it, inputs, losses)`."""
    model = build(request.param)
    x = batch(model)
    network = ksw.share(model, 0.5)
    outputs = network(x)
    y = keras.tree.map_structure(lambda o: np.ones(o.shape), outputs)
    network.compile(
        "sgd", keras.tree.map_structure(lambda _: "mse", y), run_eagerly=True
    )
    history = network.fit(x, y, epochs=3, batch_size=NUM, verbose=0).history
    return model, network, x, history["loss"]


@pytest.mark.filterwarnings("ignore:Some kernels of:UserWarning")
def test_half_of_a_model_trains(trained):
    model, network, _, losses = trained
    count = sum(math.prod(v.shape) for v in network.trainable_variables)
    own = sum(math.prod(v.shape) for v in model.trainable_variables)
    assert count == network.allocation.num_params <= own // 2
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


def test_all_matrices_and_tables_are_shared(trained):
    # A token of a transformer is no kernel, but has axes for batch and place.
    left = unshared_kernels(trained[0])
    assert {kernel.weight for kernel in left} <= {"class_token"}


def test_what_it_is_made_into_and_what_is_loaded_predict_the_same(
    trained, tmp_path
):
    model, network, x, _ = trained
    (plain,) = network.materialize()
    assert type(plain) is type(model)
    assert_same(plain(x), network(x))
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    assert_same(loaded(x), network(x))
    assert_same(loaded.materialize()[0](x), network(x))


@pytest.mark.parametrize("kind", [models.GPT2CausalLM, models.GemmaCausalLM])
def test_the_table_of_a_language_model_is_shared_by_lookup_and_logits(kind):
    model = build(kind)
    tables = [
        layer
        for _, layer, weight in shareable_kernels(model)
        if weight == "embeddings"
    ]
    assert tables == [model.backbone.token_embedding]


def test_a_function_that_compiles_its_model_takes_no_memory():
    function = functools.partial(build, models.BertTextClassifier)
    allocation = ksw.allocate(function, 0.5, ksw.sharing.Shapeshifter())
    network = ksw.share(function, 0.5)
    assert network.allocation.num_params == allocation.num_params
    assert not network.members[0].compiled


def test_a_task_keeps_its_tokenizer(tmp_path):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat"]
    preprocessor = models.BertTextClassifierPreprocessor(
        models.BertTokenizer(words), sequence_length=6
    )
    task = build(models.BertTextClassifier, preprocessor)
    network = ksw.share(task, 0.5)
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    x, sentences = preprocessor(["the cat", "sat"]), ["the cat", "sat"]
    for each in (network, loaded):
        (plain,) = each.materialize()
        found = plain.predict(sentences, verbose=0)
        np.testing.assert_allclose(found, network(x), atol=1e-5)


@pytest.mark.filterwarnings("ignore:The object being serialized:UserWarning")
def test_a_task_that_cannot_be_rebuilt_says_why_and_what_to_pass():
    task = build(models.BertTextClassifier, lambda x: x)
    remedy = r"Classifier has a `get_con.*keras\.Model\(model.input, model.out"
    with pytest.raises(ValueError, match=remedy):
        ksw.share(task, 0.5)
    ksw.share(keras.Model(task.input, task.output), 0.5)


def test_a_language_model_as_a_plain_model_is_to_be_passed_itself():
    task = build(models.GPT2CausalLM)
    with pytest.raises(ValueError, match="pass that model"):
        ksw.share(keras.Model(task.input, task.output), 0.5)
