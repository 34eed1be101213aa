"""The gateway's application in this process, without a server or Kafka."""

import pytest

from logbrook.config import Gateway
from tests.gateway.door import Door


@pytest.fixture
def door() -> Door:
    """An application that takes from everybody."""
    return Door.open(Gateway(allow_anonymous=True))
