"""What the infrastructure's tests share: the Pulumi CLI, found or built."""

import asyncio
import gc
import importlib
import os
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

# The SDK's modules warn about classes of their own while they are loaded, which happens at the first use of each.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    importlib.import_module("infra.__main__")


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


@pytest.fixture(scope="module", autouse=True)
def collected() -> Iterator[None]:
    """Collect them here, where they are expected, and not in the middle of somebody else's test."""
    yield
    gc.collect()


CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "logbrook"
VERSION = "v3.259.0"
_PULUMI = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
_PULUMI_FLAGS = f"-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version={VERSION}"
_COMPOSE, _COMPOSE_VERSION = "github.com/docker/compose/v2/cmd", "v2.40.3"


@pytest.fixture(scope="session")
def pulumi_cli(pytestconfig: pytest.Config) -> Path:
    """The `pulumi` program: on PATH, in the cache, or built with Go into the cache, which takes minutes."""
    if found := shutil.which("pulumi"):
        return _in_bin(Path(found))
    return _built(pytestconfig, "pulumi", f"{_PULUMI}@{VERSION}", _PULUMI_FLAGS)


@pytest.fixture(scope="session")
def compose_cli(pytestconfig: pytest.Config) -> list[str]:
    """`docker compose`, or the same program by itself, built with Go; `config` needs no Docker engine."""
    if shutil.which("docker"):
        plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
        if plugin.returncode == 0:
            return ["docker", "compose"]
    return [str(_built(pytestconfig, "docker-compose", f"{_COMPOSE}@{_COMPOSE_VERSION}", "-s -w"))]


@pytest.fixture(scope="session")
def cloud_config_schema() -> Path:
    """cloud-init's own schema: of an installed package, or of Debian's, which is unpacked into the cache."""
    inside = "usr/lib/python3/dist-packages/cloudinit/config/schemas/schema-cloud-config-v1.json"
    for root in (Path("/"), CACHE / "cloud-init"):
        if (root / inside).exists():
            return root / inside
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        pytest.skip("needs cloud-init's schema: cloud-init is not installed, and there is no apt-get to fetch it with")
    target = CACHE / "cloud-init"
    target.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["apt-get", "download", "cloud-init"], cwd=target, capture_output=True, check=False)
    packages = sorted(target.glob("cloud-init_*.deb"))
    if done.returncode or not packages:
        pytest.skip("needs cloud-init's schema: `apt-get download cloud-init` failed")
    subprocess.run(["dpkg", "-x", str(packages[-1]), str(target)], check=True)
    return target / inside


def _in_bin(found: Path) -> Path:
    """The Automation API wants the program in a directory called bin."""
    if found.parent.name == "bin":
        return found
    link = CACHE / "found" / "bin" / "pulumi"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(found.resolve())
    return link


def _built(pytestconfig: pytest.Config, name: str, package: str, flags: str) -> Path:
    """A Go program in the cache; built, if it is not there and Go is."""
    target = CACHE / "bin" / name
    if target.exists():
        return target
    if not shutil.which("go"):
        pytest.skip(f"needs {name}: it is not on PATH, and neither is `go`, to build it")
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(f"\nBuilding {name} with Go into {target.parent}: this takes some minutes, once.")
    source = CACHE / f"{name}-source"
    for directory in (source, target.parent):
        directory.mkdir(parents=True, exist_ok=True)
    if not (source / "go.mod").exists():
        _go(source, "mod", "init", "build")
    _go(source, "get", package)
    unfinished = target.with_name(f"{name}.{os.getpid()}")
    _go(source, "build", "-ldflags", flags, "-o", str(unfinished), package.partition("@")[0])
    unfinished.replace(target)
    return target


def _go(directory: Path, *words: str) -> None:
    done = subprocess.run(["go", *words], cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"go {' '.join(words)}: {done.stderr[-2000:]}", pytrace=False)
