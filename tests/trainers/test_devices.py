"""The devices that a config names."""

import pytest

from configs import digits
from trainers import devices


def test_mirrored_without_gpus_says_how_to_try_it():
    config = digits.get_config()
    config.strategy = "mirrored"
    with pytest.raises(ValueError, match="--config.num_cpus=2"):
        devices.scope(config)
