"""The service's image, built from service/Dockerfile: small, without root, compilers or package managers of its own."""

import json
from typing import Any

import pytest

from tests.compose import stack
from tests.compose.compose_file import ROOT, load
from tests.compose.stack import docker

DOCKERFILE = (ROOT / "service" / "Dockerfile").read_text()


@pytest.fixture(scope="module")
def image() -> str:
    """The image that the stack runs here."""
    if reason := stack.why_not():
        pytest.skip(f"no image here: {reason}")
    return next(
        name
        for name in ("logbrook-stand-in/service:latest", load()["services"]["gateway"]["image"])
        if docker("images", "--quiet", name)
    )


@pytest.fixture(scope="module")
def description(image: str) -> dict[str, Any]:
    """What the engine knows of it."""
    [found] = json.loads(docker("image", "inspect", image))
    return dict(found)


def run(image: str, *command: str) -> str:
    """Run a command in a container that may do as little as those of the stack."""
    hardened = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", "none"]
    return docker("run", "--rm", *hardened, "--entrypoint", command[0], image, *command[1:])


def test_dependencies_are_checked_against_hashes() -> None:
    """Only wheels with a known hash get in, and the base is pinned to a Python and a Debian."""
    assert "--require-hashes --only-binary :all:" in DOCKERFILE
    assert "ARG BASE_IMAGE=python:3.11-slim-bookworm" in DOCKERFILE
    assert DOCKERFILE.count("FROM ") == DOCKERFILE.count("FROM ${BASE_IMAGE}${BASE_DIGEST}") == 2


@pytest.mark.docker
def test_the_image_says_what_it_is(description: dict[str, Any]) -> None:
    """It has a user that isn't root, a health check, an entry point and labels."""
    settings = description["Config"]

    assert settings["User"] == "10001:10001"
    assert settings["Entrypoint"] == ["logbrook"]
    assert settings["Healthcheck"]["Test"][:2] == ["CMD", "python"]
    assert settings["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert not [each for each in settings["Env"] if "PASSWORD" in each or "TOKEN" in each]


@pytest.mark.docker
def test_the_image_adds_little_to_its_base(image: str) -> None:
    """Our part takes less than 110 MB, so that on python:3.11-slim (about 125 MB) the whole stays near 235 MB.

    20 of it are what checks IAP's signature (docs/decisions/roles.md).
    """
    sizes = docker("history", "--no-trunc", "--human=false", "--format", "{{.Size}} {{.CreatedBy}}", image)
    ours = [int(line.split()[0]) for line in sizes.splitlines() if "/app" in line]

    assert ours
    assert sum(ours) < 110e6


@pytest.mark.docker
def test_the_command_runs_with_nothing_writable(image: str) -> None:
    """On a read-only root file system without network or capabilities, `logbrook` starts as a user without rights."""
    assert run(image, "logbrook", "--version").startswith("logbrook ")
    assert run(image, "id", "-u").strip() == "10001"
    assert run(image, "find", "/app", "-writable", "-not", "-type", "l") == ""


@pytest.mark.docker
def test_all_of_our_modules_find_what_they_import(image: str) -> None:
    """What the service needs is in its own requirements, not only in those of the tests; what is extra is not there."""
    check = """
import importlib, pkgutil, logbrook
for module in pkgutil.walk_packages(logbrook.__path__, "logbrook."):
    if not module.name.endswith(("__main__", ".mcp")):
        importlib.import_module(module.name)
assert importlib.util.find_spec("mcp") is None
"""
    run(image, "python", "-c", check)


@pytest.mark.docker
def test_nothing_in_it_is_compiled_again(image: str) -> None:
    """Every module of ours lies there compiled, valid whatever the time of its source."""
    check = """
import importlib.util, pathlib, sys
for source in pathlib.Path("/app").rglob("*.py"):
    compiled = pathlib.Path(importlib.util.cache_from_source(str(source)))
    if source.parent.name not in ("app", "bin") and "__pycache__" not in source.parts:
        flags = compiled.read_bytes()[4] if compiled.exists() else None
        if flags != 1:
            sys.exit(f"{source}: {flags}")
"""
    run(image, "python", "-c", check)


@pytest.mark.docker
def test_it_has_no_tools_to_build_or_install(image: str) -> None:
    """Neither a compiler nor pip is in the environment of the service."""
    run(image, "sh", "-c", "! command -v gcc && ! ls /app/venv/bin/pip* 2> /dev/null")
