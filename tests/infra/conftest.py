"""What the infrastructure's tests share: the Pulumi CLI, found or built."""

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
    """Pulumi's SDK leaves its event loops open, and their sockets warn when they are collected."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"))


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Collect them here, where they are expected, and not in the middle of somebody else's test."""
    yield
    gc.collect()


CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "logbrook"
VERSION = "v3.259.0"
_COMMAND = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
_VERSION_VARIABLE = "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version"


@pytest.fixture(scope="session")
def pulumi_cli(pytestconfig: pytest.Config) -> Path:
    """The `pulumi` program: on PATH, in the cache, or built with Go into the cache, which takes minutes."""
    if found := shutil.which("pulumi"):
        return _in_bin(Path(found))
    built = CACHE / "bin" / "pulumi"
    if built.exists():
        return built
    if not shutil.which("go"):
        pytest.skip("needs the Pulumi CLI: neither `pulumi` nor `go`, to build it, is on PATH")
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(f"\nBuilding the Pulumi CLI {VERSION} with Go into {built.parent}: this takes some minutes, once.")
    _build(built)
    return built


def _in_bin(found: Path) -> Path:
    """The Automation API wants the program in a directory called bin."""
    if found.parent.name == "bin":
        return found
    link = CACHE / "found" / "bin" / "pulumi"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(found.resolve())
    return link


def _build(target: Path) -> None:
    source = CACHE / "pulumi-source"
    source.mkdir(parents=True, exist_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    if not (source / "go.mod").exists():
        subprocess.run(["go", "mod", "init", "build"], cwd=source, check=True, capture_output=True)
    subprocess.run(["go", "get", f"{_COMMAND}@{VERSION}"], cwd=source, check=True, capture_output=True)
    flags = f"-s -w -X {_VERSION_VARIABLE}={VERSION}"
    unfinished = target.with_name("pulumi.new")
    subprocess.run(
        ["go", "build", "-ldflags", flags, "-o", str(unfinished), _COMMAND], cwd=source, check=True, capture_output=True
    )
    unfinished.replace(target)
