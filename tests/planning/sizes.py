import math

import tensorflow as tf


def num_bytes(tensors):
    return sum(
        math.prod(tensor.shape) * tf.as_dtype(tensor.dtype).size
        for tensor in tensors
    )
