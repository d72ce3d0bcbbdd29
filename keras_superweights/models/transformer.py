"""Decoder-only transformers, as plain Keras models."""

import keras

from keras_superweights.models.arguments import check_positive_integers


def transformer(
    num_layers, width, num_heads, vocabulary_size, context=1024, name=None
):
    """Builds a GPT-like language model, which predicts the next token.

    The input is the sum of a learned vector of the token and one of its
    position. A layer adds two terms to its input: first normalization and
    causal self-attention; then normalization and two dense layers, of
    `4 * width` with a GELU and of `width`. The network ends with normalization
    and one dense layer without bias.

    Trainable parameters, here and in the papers, where the last layer shares
    its kernel with the token vectors:

        layers  width  heads  vocabulary  context        parameters  paper
            12    768     12       50257     1024       163,037,184   124M
            96  12288     96       50257     2048   175,221,817,344   175B

    See `keras_superweights.models` for what all models have in common.

    Args:
        num_layers: Number of layers.
        width: Size of a token's vector, a multiple of `num_heads`.
        num_heads: Number of heads of each attention.
        vocabulary_size: Number of tokens.
        context: Number of tokens in a text. Defaults to 1024.
        name: Defaults to `"transformer_{num_layers}_{width}"`.

    Returns:
        A Functional `keras.Model` from token ids `(batch, context)`, integers
        below `vocabulary_size`, to logits `(batch, context,
        vocabulary_size)`, which do not depend on later tokens, with layers
        such as `"token_vectors"`, `"layer0_attention"` and `"head"`.

    Raises:
        TypeError: If a size is not an integer.
        ValueError: If a size is not positive, or `width` is not a multiple of
            `num_heads`.

    Example:

    >>> model = transformer(2, 8, 2, vocabulary_size=50, context=16)
    >>> model.output_shape
    (None, 16, 50)

    References:
        - Radford et al., Language Models are Unsupervised Multitask Learners
          (2019), section 2.3
        - Brown et al., Language Models are Few-Shot Learners (NeurIPS 2020),
          table 2.1: https://arxiv.org/abs/2005.14165
    """
    check_positive_integers(
        num_layers=num_layers,
        width=width,
        num_heads=num_heads,
        vocabulary_size=vocabulary_size,
        context=context,
    )
    if width % num_heads:
        raise ValueError(
            "`width` must be a multiple of `num_heads`. "
            f"Received: width={width}, num_heads={num_heads}."
        )

    tokens = keras.Input((context,), dtype="int32", name="tokens")
    positions = keras.ops.cumsum(keras.ops.ones_like(tokens), axis=1) - 1
    x = keras.layers.Add(name="vectors")(
        [
            keras.layers.Embedding(vocabulary_size, width, name=kind)(ids)
            for kind, ids, vocabulary_size in (
                ("token_vectors", tokens, vocabulary_size),
                ("position_vectors", positions, context),
            )
        ]
    )
    for layer in range(num_layers):
        x = _attention(x, num_heads, name=f"layer{layer}")
        x = _dense(x, name=f"layer{layer}")
    x = _normalized(x, "final_norm")
    outputs = keras.layers.Dense(
        vocabulary_size, use_bias=False, dtype="float32", name="head"
    )(x)
    name = name or f"transformer_{num_layers}_{width}"
    return keras.Model(tokens, outputs, name=name)


def _attention(x, num_heads, name):
    normalized = _normalized(x, f"{name}_norm1")
    attended = keras.layers.MultiHeadAttention(
        num_heads, x.shape[-1] // num_heads, name=f"{name}_attention"
    )(normalized, normalized, use_causal_mask=True)
    return keras.layers.Add(name=f"{name}_add1")([x, attended])


def _dense(x, name):
    width = x.shape[-1]
    hidden = keras.layers.Dense(
        4 * width, activation="gelu", name=f"{name}_dense1"
    )(_normalized(x, f"{name}_norm2"))
    hidden = keras.layers.Dense(width, name=f"{name}_dense2")(hidden)
    return keras.layers.Add(name=f"{name}_add2")([x, hidden])


def _normalized(x, name):
    return keras.layers.LayerNormalization(epsilon=1e-5, name=name)(x)
