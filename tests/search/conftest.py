import pytest
import tensorflow as tf


@pytest.fixture
def eager():
    """Tiny steps are done long before they would be compiled."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)
