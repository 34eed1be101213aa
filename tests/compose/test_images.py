"""The Compose files, held against what the images are: compose/images.yaml, which names the source of each fact.

Here nothing is started. The stand-ins refuse what the images would refuse: test_mutations.py.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from infra.config import Settings
from tests.components import KafkaBroker
from tests.compose.compose_file import CLOUD_FILE, COMPOSE_FILE, ROOT, load, required

IMAGES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "compose" / "images.yaml").read_text())
# Each file on its own, and as Compose merges them.
LOCAL, CLOUD = (load(file, required(file)) for file in (COMPOSE_FILE, CLOUD_FILE))
SERVICES: dict[str, dict[str, Any]] = LOCAL["services"] | {
    f"{name}@cloud": {
        **LOCAL["services"].get(name, {}),
        **override,
        **{
            key: [*LOCAL["services"].get(name, {}).get(key, []), *override.get(key, [])] for key in ("volumes", "ports")
        },
        "environment": LOCAL["services"].get(name, {}).get("environment", {}) | override.get("environment", {}),
    }
    for name, override in CLOUD["services"].items()
}
BOTH = sorted(SERVICES)
# Words of a shell script that are no programs.
SHELL = {
    *("if", "then", "else", "elif", "fi", "for", "in", "do", "done", "case", "esac", "while", "set", "export"),
    *("local", "echo", "read", "printf", "umask", "unset", "[[", "[", "!", "{", "}", "exec"),
}


def facts(name: str) -> dict[str, Any]:
    """What is known of the image that a service runs."""
    return IMAGES.get(name.removesuffix("@cloud"), IMAGES["service"])


def mounts(service: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Where a service may write or not: (path, what is mounted there, its options)."""
    for volume in service.get("volumes", []):
        if isinstance(volume, dict):
            yield volume["target"], volume["source"], {"ro": "true"} if volume["read_only"] else {}
            continue
        source, path, *mode = volume.split(":")
        yield path, source, {"ro": "true"} if "ro" in mode else {}
    for each in service.get("tmpfs", []):
        path, _, options = each.partition(":")
        yield path, "tmpfs", dict(option.partition("=")[::2] for option in options.split(","))


def test_every_image_is_known() -> None:
    """Each image that Compose or infra/ names has its facts, for the line that is pinned, with their sources."""
    for name, service in LOCAL["services"].items():
        if "build" in service:
            assert f"python:{IMAGES['service']['line']}" in (ROOT / "service" / "Dockerfile").read_text()
        else:
            image, version = service["image"].partition("@")[0].split(":")
            assert (image, name) == (IMAGES[name]["image"], name)
            assert version == IMAGES[name]["line"] or version.startswith(f"{IMAGES[name]['line']}."), name
    keys = Settings.__dataclass_fields__
    assert keys["crema_image"].default == f"{IMAGES['crema']['image']}:{IMAGES['crema']['line']}"
    assert keys["crema_base_image"].default == IMAGES["crema"]["base_image"]
    assert str(keys["collector_image"].default).startswith(
        f"{IMAGES['collector']['image']}:{IMAGES['collector']['line']}."
    )
    frontend = IMAGES["frontend"]
    assert f'"{frontend["image"]}:{frontend["line"]}.' in (ROOT / "infra" / "grafana.py").read_text()
    for name, known in IMAGES.items():
        assert known["sources"], name
        for source in known["sources"]:
            assert (
                re.search(r"github\.com/[^/]+/[^/]+/blob/[0-9a-f]{40}/", source) or (ROOT / "compose" / source).exists()
            )


@pytest.mark.parametrize("name", BOTH)
def test_every_path_that_is_written_can_be_written(name: str) -> None:
    """On a read-only root, each path that the image writes lies on a volume or a tmpfs of the container's own user."""
    service, known = SERVICES[name], facts(name)
    user = int(service["user"].split(":")[0])
    below = {path: (source, options) for path, source, options in mounts(service)}
    environment = {key: str(value) for key, value in service.get("environment", {}).items()}

    for written in known["writes"]:
        path = re.sub(r"\$(\w+)", lambda match: environment.get(match[1], ""), written["path"])
        if name.removesuffix("@cloud") not in IMAGES and path not in str(service):
            continue  # this one of our processes keeps no file there
        holder = max((each for each in below if f"{path}/".startswith(f"{each.rstrip('/')}/")), default=None, key=len)
        assert holder is not None, f"{name} writes {path}, which is on the read-only root"
        source, options = below[holder]
        assert "ro" not in options, f"{name} writes {path}, which is mounted read-only"
        if source == "tmpfs":
            # Docker makes a tmpfs root's, for everybody, if it isn't told otherwise.
            assert int(options.get("uid", 0)) == user or options.get("mode", "1777") == "1777"
            # https://docs.docker.com/reference/cli/docker/container/run/#tmpfs: noexec unless told otherwise.
            assert "exec" in options or not written.get("executes"), f"{name} can't run what it puts into {path}"
        elif source == "own-logs":
            assert "mode=1777" in LOCAL["volumes"]["own-logs"]["driver_opts"]["o"]
        else:
            # A new volume is made as the image's directory is.
            assert written["owner"] == user or written["mode"].endswith("7"), f"{name} can't write {path}"


@pytest.mark.parametrize("name", BOTH)
def test_no_volume_is_left_without_a_name(name: str) -> None:
    """Each volume that the image declares is mounted: otherwise every start would leave one behind."""
    assert set(facts(name)["volumes"]) <= {path for path, *_ in mounts(SERVICES[name])}


@pytest.mark.parametrize("name", BOTH)
def test_every_program_is_in_the_image(name: str) -> None:
    """Health checks, commands and the scripts that they run call what the image has, and nothing else."""
    service, known = SERVICES[name], facts(name)
    # With an entry point, the command is its arguments.
    begins = service.get("entrypoint") or ([known["entrypoint"]] if "entrypoint" in known else service.get("command"))
    called = {str((begins or [known["command"]])[0])}
    test = service.get("healthcheck", {}).get("test", [])
    called |= set(test[1:2])
    for path in mounted_scripts(service):
        called |= programs(path.read_text())
    for words in (service.get("command", []), service.get("entrypoint", [])):
        if list(words[1:2]) == ["-c"]:
            called |= programs(words[2].replace("$$", "$"))

    assert called - {known.get("entrypoint"), known.get("command")} <= set(known["programs"]), name


@pytest.mark.parametrize("name", BOTH)
def test_every_variable_is_one_that_somebody_reads(name: str) -> None:
    """A variable is the image's own, or one that a file of ours reads: a misspelt one would change nothing."""
    service, known = SERVICES[name], facts(name)
    patterns = [re.sub(r"\s", "", pattern) for pattern in known["environment"]]
    texts = [path.read_text() for path in mounted_files(service)]

    for variable in service.get("environment", {}):
        ours = any(re.search(rf"\b{variable}\b", text) for text in texts)
        known_to_image = any(re.fullmatch(pattern, variable) for pattern in patterns)
        a_property = name.startswith("kafka") and variable.startswith("KAFKA_")  # see below
        assert ours or known_to_image or a_property, f"{name}: nobody reads {variable}"


@pytest.mark.parametrize("name", ["kafka", "kafka@cloud"])
def test_every_property_is_one_of_the_brokers(name: str, kafka: KafkaBroker) -> None:
    """The image makes properties of its variables, and the broker says nothing of one that it doesn't know."""
    resource = ConfigResource(ResourceType.BROKER, "0")
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    [answer] = admin.describe_configs([resource]).values()
    properties = set(answer.result()) | set(IMAGES["kafka"]["properties"])
    others = [re.sub(r"\s", "", pattern) for pattern in IMAGES["kafka"]["environment"]]

    for variable in SERVICES[name]["environment"]:
        if not any(re.fullmatch(pattern, variable) for pattern in others):
            name_of_it = property_of(variable)
            # A listener may have any of them for itself, and its mechanisms too.
            general = re.sub(r"^listener\.name\.\w+\.(scram-sha-512\.)?", "", name_of_it)
            assert general in properties, f"{variable} becomes {name_of_it}"


@pytest.mark.parametrize("name", BOTH)
def test_every_port_is_meant(name: str) -> None:
    """What is published, and what Prometheus and the health check ask, is open; what would be open is turned off."""
    service, known = SERVICES[name], facts(name)
    published = {int(port.rsplit(":", 1)[1]) for port in service.get("ports", [])}
    test = " ".join(service.get("healthcheck", {}).get("test", []))
    asked = {
        int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)/|healthcheck\.py (\d+)", test) for port in port if port
    }

    assert published | asked <= set(known["ports"])
    assert not set(known["ports"]) & set(known["closed"])
    if name.startswith("kafka"):
        listeners = re.findall(r"://0\.0\.0\.0:(\d+)", service["environment"]["KAFKA_LISTENERS"])
        assert {int(port) for port in listeners} <= set(known["ports"])


def test_every_data_source_has_its_plugin() -> None:
    """Grafana starts without it, and shows nothing. Ignored by `prepareInstanceSettings`:
    https://github.com/grafana/grafana/blob/78b7697396fe8b3f9565b4b6aa18507ab53a447a/pkg/services/datasources/service/datasource.go
    """
    sources = yaml.safe_load((ROOT / "compose/grafana/provisioning/datasources/datasources.yaml").read_text())
    fetched = LOCAL["services"]["grafana"]["environment"]["GF_PLUGINS_PREINSTALL"].split(",")
    assert all(re.fullmatch(r"[a-z0-9-]+@\d+\.\d+\.\d+", each) for each in fetched)
    known = {"prometheus", *(each.partition("@")[0] for each in fetched)}
    assert {each["type"] for each in sources["datasources"]} <= known


def property_of(variable: str) -> str:
    """The property that the image makes of a variable: `env_to_props` of confluent-docker-utils."""
    name = variable.removeprefix("KAFKA_").lower()
    name = re.sub(r"(?<=[^_])_(?=[^_])", ".", name)
    return name.replace("___", "-").replace("__", "_")


def mounted_files(service: dict[str, Any]) -> list[Path]:
    """The files of ours that a container has."""
    found: list[Path] = []
    for _, source, _ in mounts(service):
        if source.startswith("."):
            path = COMPOSE_FILE.parent / source
            found += [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else [path]
    return found


def mounted_scripts(service: dict[str, Any]) -> list[Path]:
    """Those of them that the service's commands run."""
    commands = str([service.get("entrypoint"), service.get("command"), service.get("healthcheck")])
    return [path for path in mounted_files(service) if path.suffix == ".sh" and f"/{path.name}" in commands]


def programs(script: str) -> set[str]:
    """What a shell script calls: the first word of each command that is no part of the language, and what exec runs."""
    functions = set(re.findall(r"^(\w+)\(\)", script, re.MULTILINE))
    code = re.sub(r"^\s*#.*$|'[^'\n]*'", " ", script, flags=re.MULTILINE)
    code = re.sub(r"\$\{[^}]*\}", "x", code)
    found = set()
    for command in re.split(r"\$\(|\|\||&&|[;|\n(){}]|\bdo\b|\bthen\b|\belse\b|!", code):
        words = command.replace('"', " ").split()
        while words and (re.match(r"\w+=", words[0]) or words[0] in ("exec", "export", "if", "elif", "while")):
            words = words[1:]
        if words and re.fullmatch(r"[a-z/][\w/.-]*", words[0]):
            found.add(words[0])
            # What `timeout` runs.
            found |= {words[2]} if words[0] == "timeout" else set()
    return found - SHELL - functions - {"x"}
