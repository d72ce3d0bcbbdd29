import pytest
import tensorflow as tf


@pytest.fixture
def eager():
    """Runs tiny steps eagerly: they are done before they would be compiled."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)
