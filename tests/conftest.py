"""What every test starts from: quiet logs and the same random numbers."""

import os

# Read by TensorFlow when it is imported, so before anything imports it.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import pytest


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)
