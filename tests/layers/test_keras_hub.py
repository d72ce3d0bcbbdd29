"""KerasHub's backbones and tasks share whole, in small configurations."""

import math

import keras
import keras_hub
import numpy as np
import pytest

import keras_superweights as ksw
from keras_superweights.members.shareable import shareable_kernels
from keras_superweights.members.shareable import unshared_kernels

models = keras_hub.models
TEXT = {"vocabulary_size": 50, "num_layers": 2, "hidden_dim": 8}
NUM = 4


def bert():
    return models.BertBackbone(
        **TEXT, num_heads=2, intermediate_dim=16, max_sequence_length=6
    )


def gpt2():
    return models.GPT2Backbone(
        **TEXT, num_heads=2, intermediate_dim=16, max_sequence_length=6
    )


def gemma():
    return models.GemmaBackbone(
        **TEXT,
        num_query_heads=2,
        num_key_value_heads=1,
        intermediate_dim=32,
        head_dim=4,
    )


def whisper():
    return models.WhisperBackbone(
        vocabulary_size=50,
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=16,
        num_mels=4,
        max_encoder_sequence_length=8,
        max_decoder_sequence_length=6,
    )


def vit():
    return models.ViTBackbone(
        image_shape=(8, 8, 3),
        patch_size=(4, 4),
        num_layers=2,
        num_heads=2,
        hidden_dim=8,
        mlp_dim=16,
    )


def resnet():
    return models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64, 8],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
        image_shape=(16, 16, 3),
    )


def mit():
    return models.MiTBackbone(
        layerwise_depths=[1, 1],
        num_layers=2,
        layerwise_num_heads=[1, 2],
        layerwise_sr_ratios=[2, 1],
        max_drop_path_rate=0.1,
        layerwise_patch_sizes=[3, 3],
        layerwise_strides=[4, 2],
        image_shape=(32, 32, 3),
        hidden_dims=[4, 8],
    )


def bert_classifier():
    return models.BertTextClassifier(bert(), num_classes=3)


def gpt2_lm():
    return models.GPT2CausalLM(gpt2())


def gemma_lm():
    return models.GemmaCausalLM(gemma())


def vit_classifier():
    return models.ViTImageClassifier(vit(), num_classes=3)


BUILDERS = {
    build.__name__: build
    for build in (
        bert,
        gpt2,
        gemma,
        whisper,
        vit,
        resnet,
        mit,
        bert_classifier,
        gpt2_lm,
        gemma_lm,
        vit_classifier,
    )
}


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


def assert_same(one, other):
    keras.tree.map_structure(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), one, other
    )


@pytest.fixture(scope="module", params=list(BUILDERS))
def trained(request):
    """`(model, network trained inside half of it, inputs, losses)`."""
    model = BUILDERS[request.param]()
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


@pytest.mark.parametrize("build", [gpt2_lm, gemma_lm])
def test_the_table_of_a_language_model_is_shared_by_lookup_and_logits(build):
    model = build()
    tables = [
        layer
        for _, layer, weight in shareable_kernels(model)
        if weight == "embeddings"
    ]
    assert tables == [model.backbone.token_embedding]


def test_a_function_that_compiles_its_model_takes_no_memory():
    allocation = ksw.allocate(bert_classifier, 0.5, ksw.sharing.Shapeshifter())
    network = ksw.share(bert_classifier, 0.5)
    assert network.allocation.num_params == allocation.num_params
    assert not network.members[0].compiled


def test_a_task_keeps_its_tokenizer(tmp_path):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat"]
    preprocessor = models.BertTextClassifierPreprocessor(
        models.BertTokenizer(words), sequence_length=6
    )
    task = models.BertTextClassifier(bert(), 3, preprocessor)
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
    task = models.BertTextClassifier(bert(), 3, preprocessor=lambda x: x)
    with pytest.raises(
        ValueError, match="BertTextClassifier has a `get_con"
    ) as c:
        ksw.share(task, 0.5)
    assert "keras.Model(model.input, model.output)" in str(c.value)
    ksw.share(keras.Model(task.input, task.output), 0.5)


def test_a_language_model_as_a_plain_model_is_to_be_passed_itself():
    task = gpt2_lm()
    with pytest.raises(ValueError, match="pass that model"):
        ksw.share(keras.Model(task.input, task.output), 0.5)
