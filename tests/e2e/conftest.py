"""The stack that all end-to-end tests share. Each looks only at what it sent itself (see Pipeline.position).

RUNTIME says which: `native` (the default), `compose`, or `auto`, which takes Compose where an engine has its images.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.e2e.pipeline")

from tests.compose import stack as containers  # noqa: E402 - after the line above
from tests.compose.compose_file import services  # noqa: E402
from tests.compose.stack import Stack, docker  # noqa: E402
from tests.e2e import pipeline as pipelines  # noqa: E402


def obstacle() -> str | None:
    """Why no containers can run here without pulling anything; None if they can."""
    images = ("logbrook-stand-in/kafka", services()["kafka"]["image"])
    return containers.why_not() or (None if any(docker("images", "--quiet", each) for each in images) else "no images")


def runtime() -> str:
    """`native` or `compose`."""
    wanted = os.environ.get("RUNTIME", "native")
    assert wanted in ("native", "compose", "auto"), f"RUNTIME={wanted} is not known"
    return ("native" if obstacle() else "compose") if wanted == "auto" else wanted


def pytest_report_header() -> str:
    """Which of the two it is, in the first lines of the output."""
    chosen = runtime()
    why = f" ({obstacle()})" if chosen == "native" and os.environ.get("RUNTIME") == "auto" else ""
    return f"end-to-end tests run on the {chosen} stack{why}"


@pytest.fixture(scope="package")
def pipeline(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[pipelines.Pipeline]:
    """A whole stack that is ready."""
    if runtime() == "compose":
        yield pipelines.in_containers(request.getfixturevalue("containers_up"))
        return
    with pipelines.native(tmp_path_factory.mktemp("native")) as running:
        yield running


# In containers: pytest-docker brings the Compose file up, under a random name and on free ports, and takes it down.


@pytest.fixture(scope="session")
def compose_stack(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """What to bring up."""
    return Stack(tmp_path_factory.mktemp("compose"), {}, source="e2e")


@pytest.fixture(scope="session")
def docker_compose_command(compose_stack: Stack) -> str:
    """With the passwords and ports of this run."""
    return f"docker compose --env-file {compose_stack.env_file}"


@pytest.fixture(scope="session")
def docker_compose_file(compose_stack: Stack) -> list[Path]:
    """The file that users run; where images can't be pulled, with the override that names others."""
    return compose_stack.files


@pytest.fixture(scope="session")
def docker_compose_project_name(compose_stack: Stack) -> str:
    """A random one."""
    return compose_stack.project


@pytest.fixture(scope="session")
def docker_setup(compose_stack: Stack) -> list[str]:
    """Started once each is healthy."""
    return [" ".join(compose_stack.up_words())]


@pytest.fixture(scope="session")
def docker_cleanup() -> list[str]:
    """Nothing is left."""
    return ["down --volumes --remove-orphans --timeout 20"]


@pytest.fixture(scope="session")
def containers_up(request: pytest.FixtureRequest, compose_stack: Stack) -> Iterator[Stack]:
    """The stack in containers. What they said is kept if a test failed, or if they did not come up."""
    if reason := containers.why_not():
        pytest.fail(f"RUNTIME=compose: {reason}")
    try:
        request.getfixturevalue("docker_services")
    except Exception:
        print(f"logs of the containers: {compose_stack.keep_logs()}")
        compose_stack.compose("down", "--volumes", "--remove-orphans", "--timeout", "20")
        raise
    yield compose_stack
    if request.session.testsfailed:
        print(f"logs of the containers: {compose_stack.keep_logs()}")
