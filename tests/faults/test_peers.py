"""What the same kills cost the consumers that most pipelines have. Part of `make faults-compare`."""

import os

import pytest

from tests.faults.campaign import Campaign, Counts, Progress
from tests.faults.stack import Place

KILLS = int(os.environ.get("FAULTS_KILLS", "30"))


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", ["", "at_least_once", "naive"], ids=["logbrook", "at_least_once", "naive"])
def test_peer(kind: str, place: Place, seed: int, progress: Progress, counts: Counts) -> None:
    """Logbrook loses and doubles nothing under kills at seeded times; the others are measured, not judged."""
    outcome = Campaign(place, seed, progress, messages_per_second=400).killed_from_outside(kind, KILLS)
    counts.append(outcome)
    if not kind:
        assert (outcome.missing, outcome.double) == (0, 0)
