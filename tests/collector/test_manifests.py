"""The Collector's Compose service and its Kubernetes manifest, read from the files."""

import re
from pathlib import Path
from typing import Any

import yaml

from tests.collector.collector import CONFIGURATIONS
from tests.components import REPOSITORY
from tests.compose.compose_file import services

MODULES = (REPOSITORY / "tests/tools/otelcol/go.mod").read_text()
[DAEMONSET] = yaml.safe_load_all((CONFIGURATIONS / "daemonset.yaml").read_text())
POD: dict[str, Any] = DAEMONSET["spec"]["template"]["spec"]
[CONTAINER] = POD["containers"]
KUSTOMIZATION = yaml.safe_load((CONFIGURATIONS / "kustomization.yaml").read_text())
PROCESSORS = {f"processors/{path.name}" for path in (CONFIGURATIONS / "processors").iterdir()}


def configurations(arguments: list[str]) -> list[str]:
    """The files that a command line names, without their directory."""
    return [word.removeprefix("--config=/etc/collector/") for word in arguments if word.startswith("--config=")]


def test_what_runs_is_the_version_that_the_tests_build() -> None:
    """Compose and Kubernetes run the Collector whose parts tests/tools/otelcol pins."""
    [built] = re.findall(r"receiver/filelogreceiver v(\S+)", MODULES)
    image = f"otel/opentelemetry-collector-contrib:{built}"

    assert services()["otelcol"]["image"] == image
    assert CONTAINER["image"] == image


def test_compose_loads_files_that_exist_and_every_processor() -> None:
    """Any of the processors can be named in LOGBROOK_OTELCOL_PROCESSORS."""
    loaded = configurations(services()["otelcol"]["command"])

    assert {name for name in loaded if not (CONFIGURATIONS / name).is_file()} == set()
    assert set(loaded) > PROCESSORS


def test_the_pod_mounts_what_its_configuration_reads() -> None:
    """Every file that the container is told to load is in its ConfigMap; what it reads and writes is mounted."""
    [generated] = KUSTOMIZATION["configMapGenerator"]
    loaded = configurations(CONTAINER["args"])
    mounted = {each["mountPath"]: each.get("readOnly", False) for each in CONTAINER["volumeMounts"]}

    assert {Path(name).name for name in generated["files"]} == set(loaded)
    assert set(generated["files"]) > PROCESSORS
    assert all((CONFIGURATIONS / name).is_file() for name in [*generated["files"], *KUSTOMIZATION["resources"]])
    assert mounted == {"/etc/collector": True, "/var/log/pods": True, "/var/lib/otelcol": False}
    assert {each["name"] for each in CONTAINER["volumeMounts"]} == {each["name"] for each in POD["volumes"]}


def test_the_pods_own_lines_are_left_out() -> None:
    """What the Collector prints of events would otherwise become events."""
    text = (CONFIGURATIONS / "pods.yaml").read_text()

    assert f"/*/{CONTAINER['name']}/*.log" in text


def test_every_variable_is_one_that_a_configuration_reads() -> None:
    """No name in Compose or the manifest is misspelt."""
    text = "".join(path.read_text() for path in CONFIGURATIONS.glob("*.yaml"))
    read = set(re.findall(r"\$\{env:(\w+)", text))

    assert set(services()["otelcol"]["environment"]) <= read
    assert {each["name"] for each in CONTAINER["env"]} <= read
