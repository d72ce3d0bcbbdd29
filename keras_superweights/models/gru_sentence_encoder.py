"""A recurrent sentence encoder, as a plain Keras model."""

import keras

from keras_superweights.models.arguments import check_positive_integers


def gru_sentence_encoder(
    vocabulary_size,
    units=1024,
    word_size=600,
    embedding_size=None,
    name="gru_sentence_encoder",
):
    """Builds the sentence branch of ADAPT-T2I: the mean of a BiGRU's states.

    Every word becomes a learned vector. One GRU reads the vectors forwards and
    one backwards, and the embedding of the sentence is the mean of both states
    over all words, followed by a dense layer if there is an `embedding_size`.
    Words with the id 0 are padding, wherever they are: the embedding does not
    depend on their number.

    With the defaults, taken from the paper's code, the GRUs have 9,990,144
    trainable parameters: 10M of the 14M of ADAPT-T2I, as NPAS (section 4.3)
    counts them. There, half of each word vector is pretrained and frozen;
    here, word vectors start at random. See `keras_superweights.models` for
    what all models have in common.

    Args:
        vocabulary_size: Number of ids, padding included, at least 2.
        units: Size of the state of either GRU. Defaults to 1024.
        word_size: Size of a word's vector. Defaults to 600.
        embedding_size: Size of a final dense layer without activation.
            Defaults to `None`, no such layer.
        name: Name of the model. Defaults to `"gru_sentence_encoder"`.

    Returns:
        A Functional `keras.Model` from word ids `(batch, words)`, integers
        below `vocabulary_size`, to embeddings `(batch, units)`, or
        `(batch, embedding_size)`. The embedding of a sentence without words is
        NaN. The layers are `"word_vectors"`, `"gru"`, `"mean"` and
        `"projection"`.

    Raises:
        TypeError: If a size is not an integer.
        ValueError: If a size is not positive, or `vocabulary_size` is 1.

    Example:

    >>> model = gru_sentence_encoder(1000, units=8, word_size=4)
    >>> model.predict(np.array([[17, 4, 0], [5, 0, 0]])).shape
    (2, 8)

    References:
        - NPAS, appendix A.1 and section 4.3
        - Wehrmann et al., Adaptive Cross-modal Embeddings for Image-Text
          Alignment (AAAI 2020); sizes and the mean of both directions from
          its code: https://github.com/jwehrmann/retrieval.pytorch
    """
    check_positive_integers(
        vocabulary_size=vocabulary_size,
        units=units,
        word_size=word_size,
        embedding_size=1 if embedding_size is None else embedding_size,
    )
    if vocabulary_size < 2:
        raise ValueError(
            "`vocabulary_size` must be at least 2, since the id 0 is padding. "
            f"Received: vocabulary_size={vocabulary_size}."
        )

    inputs = keras.Input((None,), dtype="int32", name="words")
    x = keras.layers.Embedding(
        vocabulary_size, word_size, mask_zero=True, name="word_vectors"
    )(inputs)
    x = keras.layers.Bidirectional(
        keras.layers.GRU(units, return_sequences=True),
        merge_mode="ave",
        name="gru",
    )(x)
    x = keras.layers.GlobalAveragePooling1D(dtype="float32", name="mean")(x)
    if embedding_size is not None:
        x = keras.layers.Dense(
            embedding_size, dtype="float32", name="projection"
        )(x)
    return keras.Model(inputs, x, name=name)
