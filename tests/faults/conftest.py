"""One stack for all fault tests, and a fresh place on it for each test."""

import os
import random
from collections.abc import Iterator

import pytest

from tests.faults.campaign import HEADING, Outcome, Progress
from tests.faults.ledger import Ledger, Sender
from tests.faults.parts import EVERYTHING
from tests.faults.stack import Place, Stack, running

# The long ones: `make faults`, `make faults-compare`.
collect_ignore = [] if EVERYTHING else ["test_campaign.py", "test_peers.py"]
Counts = list[Outcome]
_COUNTS: Counts = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The counts of the long tests."""
    if _COUNTS:
        terminalreporter.section(f"faults, SEED={_seed()}")
        for line in (HEADING, *map(str, _COUNTS)):
            terminalreporter.write_line(line)


@pytest.fixture
def counts() -> Counts:
    """Lines of the table that is printed at the end."""
    return _COUNTS


def pytest_report_header() -> str:
    """The seed, so that a run can be repeated."""
    return f"faults: SEED={_seed()}"


def _seed() -> int:
    return int(os.environ.setdefault("SEED", str(random.SystemRandom().randrange(10**6))))


@pytest.fixture(scope="session")
def seed() -> int:
    """What all randomness of this run begins with: SEED=n repeats it."""
    return _seed()


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """ZooKeeper, Kafka and ClickHouse, for tests that leave them running and healed."""
    with running(tmp_path_factory.mktemp("stack")) as up:
        yield up


@pytest.fixture
def place(stack: Stack, request: pytest.FixtureRequest) -> Iterator[Place]:
    """A topic with 8 partitions and a migrated database."""
    place = stack.place(request.node.originalname.removeprefix("test_")[:40])
    yield place
    # Shown if the test failed.
    for process in place.processes:
        print(f"--- {process.name}\n{process.log[-3000:]}")
    place.close()


@pytest.fixture
def ledger() -> Ledger:
    """An empty ledger."""
    return Ledger()


@pytest.fixture
def sender(ledger: Ledger, place: Place, seed: int) -> Sender:
    """A sender into the place's topic that has not begun."""
    return Sender(ledger, place.kafka, seed)


@pytest.fixture
def progress(request: pytest.FixtureRequest) -> Progress:
    """A line on the terminal for each fault, with -v."""
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    capture = request.config.pluginmanager.get_plugin("capturemanager")

    def line(text: str) -> None:
        if reporter is not None and capture is not None and reporter.verbosity > 0:
            with capture.global_and_fixture_disabled():
                reporter.write_line(f"    {text}")

    return line
