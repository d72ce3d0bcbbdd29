"""What every test starts from: quiet logs and the same random numbers."""

import os
import re

# Read by TensorFlow when it is imported, so before anything imports it.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import pytest


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


def pytest_make_parametrize_id(config, val):
    """Names functions and objects without their address in memory.

    It differs between the processes that tests are spread over.
    """
    text = repr(val)
    return re.sub(r" at 0x[0-9a-f]+", "", text) if " at 0x" in text else None
