import pytest
from hypothesis import settings
from tiny_network import tiny

from convscope.models.network import Network

settings.register_profile("patient", deadline=None)  # machines are busy
settings.load_profile("patient")


@pytest.fixture
def network() -> Network:
    return tiny()
