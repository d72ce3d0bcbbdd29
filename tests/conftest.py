"""What every test starts from: quiet logs and the same random numbers."""

import gc
import json
import os
import re
import socket

# Read by TensorFlow when it is imported, so before anything imports it.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import pytest
import tensorflow as tf

# Tests run in as many processes as there are cores; threads of each would only
# wait for each other. Programs that tests start have them as a user's do.
tf.config.threading.set_intra_op_parallelism_threads(1)


def pytest_collection_modifyitems(items):
    # Tests that start programs take longest. Begun first, none is left for the
    # end, where other processes would have nothing to do but wait for it.
    starting = {"subprocess", "Program"}
    items.sort(key=lambda item: starting.isdisjoint(vars(item.module)))


def pytest_collection_finish(session):
    # What Python and TensorFlow have made of themselves by now stays until the
    # end. To look through it whenever garbage is collected, which is often
    # where models are made and dropped, takes a tenth of the suite's time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


@pytest.fixture
def eager():
    """Runs tiny steps eagerly: they are done before they would be compiled."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def pytest_make_parametrize_id(config, val):
    """Names functions and objects without their address in memory.

    It differs between the processes that tests are spread over.
    """
    text = repr(val)
    return re.sub(r" at 0x[0-9a-f]+", "", text) if " at 0x" in text else None


@pytest.fixture(scope="session")
def two_workers():
    """Makes the `TF_CONFIG` of each of two workers of this machine."""

    def two_workers_():
        servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        addresses = ["{}:{}".format(*s.getsockname()) for s in servers]
        for server in servers:
            server.close()
        return [
            json.dumps(
                {
                    "cluster": {"worker": addresses},
                    "task": {"type": "worker", "index": index},
                }
            )
            for index in range(2)
        ]

    return two_workers_
