import pytest

import keras_superweights as ksw
from tests.export.networks import dense
from tests.export.networks import randomized


@pytest.fixture
def small():
    return randomized(ksw.SuperWeightNetwork(dense(8, 8)))
