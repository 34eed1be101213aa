"""Which fault tests run: a representative part with all the other tests, everything in `make faults`."""

import os

import pytest

EVERYTHING = "FAULTS_LONG" in os.environ
in_full = pytest.mark.skipif(not EVERYTHING, reason="runs in `make faults`")
