"""What `logbrook capacity` recommends: a deploy accepts it, `make cost` agrees, and its figures are where they say."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from infra import budget, capacity, capacity_page, cost
from infra.capacity import Volume, figures, plan
from infra.config import load
from infra.machines import MACHINES, Machine
from logbrook.errors import LogbrookError
from tests.infra.engine import ROOT

MEASUREMENTS = ROOT / "docs/measurements"
# All of them have a plan: with more, Cloud Run's subnet is too small.
VOLUMES = st.builds(Volume, st.integers(1, 2 * 10**9), st.integers(1, 4000), st.integers(1, 400))
ENVIRONMENTS = st.sampled_from(["dev", "prod"])
PLACE = {"gcp:project": "my-project", "gcp:region": "us-central1", "gcp:zone": "us-central1-a"}


def printed(volume: Volume, environment: str = "prod") -> str:
    """What people get to see."""
    out = io.StringIO()
    capacity.run(volume, environment, as_json=False, console=Console(file=out, width=120))
    return out.getvalue()


def command(*options: str, service: Path = ROOT / "service") -> subprocess.CompletedProcess[str]:
    """`logbrook capacity`, in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [sys.executable, "-P", "-m", "logbrook", "capacity", *options],
        env=environment | {"PYTHONPATH": str(service), "COLUMNS": "200"},
        cwd=service,
        capture_output=True,
        text=True,
        check=False,
    )


@given(VOLUMES, ENVIRONMENTS)
def test_a_deploy_accepts_what_is_printed_and_make_cost_agrees(volume: Volume, environment: str) -> None:
    """The `pulumi config set` lines make a valid stack that fits, at the dollars that are shown; no key is left out."""
    found = plan(volume, environment)

    lines = re.findall(r"^pulumi config set (\S+) (\S+)$", printed(volume, environment), re.M)
    settings = load(PLACE | {"logbrook:environment": environment} | dict(lines))

    budget.check(settings)
    assert settings == found.settings
    assert found.dollars == cost.estimate(settings, cost.prices())


@given(VOLUMES, ENVIRONMENTS)
def test_nothing_is_too_small(volume: Volume, environment: str) -> None:
    """All days leave a quarter of ClickHouse's disk free; each consumer has a partition; the machine is enough."""
    found = plan(volume, environment)
    settings = found.settings

    assert settings.kafka_partitions >= settings.consumer_max
    assert settings.retention_days == volume.days
    assert settings.on_vm != bool(found.why)
    if settings.on_vm:
        measured = {name: each["value"] for name, each in figures()["measured"].items()}
        events = volume.events_per_day * max(1, volume.event_bytes / measured["event_bytes"])
        assert (
            events * volume.days * measured["stored_bytes"] / 2**30 <= budget.FULL_DISK * settings.clickhouse_disk_gib
        )
        topic = settings.kafka_partitions * settings.kafka_retention_bytes
        assert events * measured["kafka_bytes"] * settings.kafka_retention_hours / 24 <= topic
        assert topic / 2**30 <= budget.FULL_DISK * settings.kafka_disk_gib
        # The smallest has two virtual CPUs only for a while.
        assert found.vcpus <= (MACHINES | {"e2-medium": Machine("e2-medium", 1, 4096)})[settings.machine_type].cpus


@given(VOLUMES, st.integers(0, 10**9))
def test_more_events_never_need_less(volume: Volume, more: int) -> None:
    """Neither disks, nor instances, nor bytes in the topic; and what outgrew one VM stays outgrown."""
    before, after = plan(volume), plan(Volume(volume.events_per_day + more, volume.event_bytes, volume.days))

    assert bool(before.why) <= bool(after.why)
    names = ["gateway_max", "consumer_max", "kafka_partitions"]
    names += ["kafka_disk_gib", "clickhouse_disk_gib"] if not after.why else []
    for name in names:
        assert getattr(before.settings, name) <= getattr(after.settings, name)


@given(st.builds(Volume, st.integers(1, 10**12), st.integers(1, 2**20), st.integers(1, 3650)), ENVIRONMENTS)
def test_whatever_the_command_accepts_has_an_answer(volume: Volume, environment: str) -> None:
    """A plan, or the error that Cloud Run's subnet has too few addresses, and no other."""
    try:
        text = printed(volume, environment)
    except LogbrookError as error:
        text = str(error)
    assert "pulumi config set" in text or "logbrook:runSubnet" in text


def test_the_cheapest_machine_is_taken() -> None:
    """A small volume gets the cheapest machine that the memory rule accepts, which for dev is a smaller one."""
    price = cost.prices()["machine_per_hour"]
    for environment in ("dev", "prod"):
        taken = plan(Volume(1, 1, 7), environment).settings.machine_type
        fitting = [name for name, machine in MACHINES.items() if budget.fits(machine, environment)]
        assert price[taken] == min(price[name] for name in fitting)


@pytest.mark.parametrize(
    ("bytes_and_days", "why"),
    [
        ((1000, 90), "logbrook:clickhouseDiskGib would be 44,713, more than 4,096"),
        ((2000, 3), r"logbrook:kafkaDiskGib would be 6,\d\d\d, more than 4,096"),
        ((3000, 1), r"[34]\d\.\d virtual CPUs are needed to take the peak, and the largest machine has 32"),
    ],
)
def test_beyond_one_vm(bytes_and_days: tuple[int, int], why: str) -> None:
    """It says why, and which keys make the managed shape."""
    text = printed(Volume(2_000_000_000, *bytes_and_days))

    assert re.search(f"One VM is not enough: {why}", text), text
    for line in ("backend managed", "managedKafkaCpus ", "clickhouseHost ", "clickhouseCluster default"):
        assert f"pulumi config set logbrook:{line}" in text
    assert "machineType" not in text


@pytest.mark.parametrize("name", figures()["measured"])
def test_a_measured_figure_is_where_it_says(name: str) -> None:
    """In docs/measurements, in the named section, on the line of its row, under its date and command."""
    figure = figures()["measured"][name]
    file, _, anchor = figure["section"].partition("#")
    page = (MEASUREMENTS / file).read_text()
    sections = re.split(r"^(?=#+ )", page, flags=re.M)
    [section] = [each for each in sections if _anchor(each) == anchor] if anchor else [page]

    shown = {f"{figure['value']:,}", str(figure["value"])}
    lines = [each for each in section.splitlines() if figure["row"] in each]
    assert [each for each in lines if shown & set(re.findall(r"\d[\d,]*(?:\.\d+)?", each))], lines
    date = f"{figure['date']:%-d %B %Y}"
    assert date in section or str(figure["date"]) in section
    assert figure["command"] in section


def _anchor(section: str) -> str:
    heading = section.partition("\n")[0].lstrip("# ").lower()
    return re.sub(r"[^\w\- ]", "", heading).replace(" ", "-")


def test_what_is_not_measured_has_a_reason() -> None:
    """Each assumption says why it is so."""
    for each in figures()["assumed"].values():
        assert each.keys() == {"value", "meaning", "reason"}
        assert len(each["reason"]) > 5


def test_the_check_of_the_disk_is_in_step() -> None:
    """What a deploy takes for granted, a fifth of the JSON, is not less than what was measured."""
    measured = figures()["measured"]
    assert measured["stored_bytes"]["value"] / measured["event_bytes"]["value"] <= budget.STORED_SHARE


def test_the_page_is_in_step() -> None:
    """What `make docs` would write is what is checked in."""
    page = capacity_page.PAGE.read_text()
    assert page == capacity_page.completed(page), "run `make docs`"


def test_the_page_says_where_one_vm_ends() -> None:
    """One VM takes the volume in the table, and not a tenth more."""
    most = capacity_page.most_events_per_day(1000, 30)
    assert not plan(Volume(most, 1000, 30)).why
    assert plan(Volume(most * 11 // 10, 1000, 30)).why


def test_for_programs() -> None:
    """--json has the same keys and dollars, with units in the names."""
    done = command("--events-per-day", "20000000", "--bytes", "500", "--days", "30", "--json")

    assert done.returncode == 0, done.stderr
    found = plan(Volume(20_000_000, 500, 30))
    assert json.loads(done.stdout) == json.loads(json.dumps(capacity.as_object(found)))


@pytest.mark.parametrize(
    ("options", "status", "says"),
    [
        (["--bytes", "500", "--days", "30"], 2, "--events-per-day"),
        (["--events-per-day", "0", "--bytes", "500", "--days", "30"], 2, "greater than or equal to 1"),
        (["--events-per-day", "20M", "--bytes", "500", "--days", "30"], 2, "valid integer"),
        (
            ["--events-per-day", "1000000000000", "--bytes", "500", "--days", "30"],
            1,
            "divide the sources among several",
        ),
    ],
)
def test_what_can_not_be_answered(options: list[str], status: int, says: str) -> None:
    """A mistake is named with its option; a volume that no stack takes, with what to do."""
    done = command(*options)
    assert done.returncode == status
    assert says in " ".join(done.stderr.split())


def test_without_the_repository(tmp_path: Path) -> None:
    """Where only the service is installed, as in its image, the command says what it needs."""
    (tmp_path / "service").mkdir()
    (tmp_path / "service/logbrook").symlink_to(ROOT / "service/logbrook")

    done = command("--events-per-day", "1", "--bytes", "1", "--days", "1", service=tmp_path / "service")

    assert done.returncode == 1
    assert "run `make capacity` in a clone" in done.stderr
