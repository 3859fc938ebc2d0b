import pytest
from hypothesis import settings

from convscope.models.network import Network
from tests.atlases.tiny_network import tiny

settings.register_profile("patient", deadline=None)  # machines are busy
settings.load_profile("patient")


@pytest.fixture
def network() -> Network:
    return tiny()
