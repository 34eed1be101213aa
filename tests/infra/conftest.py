"""What the infrastructure's tests share: an event loop for Pulumi's SDK, and the programs that `make tools` made."""

import asyncio
import gc
import importlib
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tools import build

# The SDK's modules warn about classes of their own while they are loaded, which happens at the first use of each.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    importlib.import_module("infra.__main__")
    gcp = importlib.import_module("pulumi_gcp")
    # Used within functions alone.
    assert gcp.storage.Bucket
    assert gcp.monitoring.AlertPolicy


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Pulumi's SDK leaves its event loops open, and half-run programs: both warn when collected."""
    half_way = "ignore:Exception ignored in. <coroutine object run_:pytest.PytestUnraisableExceptionWarning"
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"))
            item.add_marker(pytest.mark.filterwarnings(half_way))


_LOOPS: list[asyncio.AbstractEventLoop] = []


def _loop() -> Iterator[None]:
    """Pulumi's SDK asks for the thread's event loop; tests elsewhere that ran one have left none behind.

    It is kept for good: the SDK may hold it longer than a test, and one that is collected unclosed warns.
    """
    if not _LOOPS or _LOOPS[-1].is_closed():
        _LOOPS.append(asyncio.new_event_loop())
    asyncio.set_event_loop(_LOOPS[-1])
    yield


loop_of_module = pytest.fixture(scope="module", autouse=True)(_loop)
loop_of_test = pytest.fixture(autouse=True)(_loop)


@pytest.fixture(scope="session", autouse=True)
def base_image() -> Iterator[None]:
    """No test asks a registry what the image's base is today."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("infra.images.base_digest", lambda _image: "@sha256:" + "0" * 64)
        yield


@pytest.fixture(scope="module", autouse=True)
def collected() -> Iterator[None]:
    """Collect them here, where they are expected, and not in the middle of somebody else's test."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def pulumi_cli(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `pulumi` program, in a directory called `bin`, as the Automation API wants it."""
    found = _tool("pulumi")
    if found.parent.name == "bin":
        return found
    link = tmp_path_factory.mktemp("pulumi") / "bin" / "pulumi"
    link.parent.mkdir()
    link.symlink_to(found)
    return link


@pytest.fixture(scope="session")
def compose_cli() -> list[str]:
    """Docker's compose plugin, which runs by itself; `config` needs no Docker engine."""
    return [str(_tool("docker-compose"))]


def _tool(name: str) -> Path:
    """A program that `make tools` has made: never made here, where a test's time limit would end it."""
    if found := build.find(name):
        return found
    pytest.skip(build.missing(name))
