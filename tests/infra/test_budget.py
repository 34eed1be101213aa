"""How a machine is shared out: nothing is promised twice, and what does not fit is refused with the numbers."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra import budget
from infra.config import GIB
from infra.errors import StackError
from infra.machines import MACHINES
from infra.render import ROOT
from tests.infra.engine import settings_of

MIB = st.integers(1024, 512 * 1024)


@given(MIB, st.sampled_from([0, budget.ALERT_MIB + budget.ALERTMANAGER_MIB]))
def test_parts_never_exceed_the_machine(machine_mib: int, alerts: int) -> None:
    """From 3 GiB on, all parts together stay below 97 % of the memory; ClickHouse gets what is left, or nothing."""
    shares = budget.memory(machine_mib, alerts)
    if shares.clickhouse_limit:
        assert shares.total <= 0.97 * machine_mib
    assert shares.clickhouse_limit >= 0


@given(MIB)
def test_limits_are_above_what_runs_inside(machine_mib: int) -> None:
    """Each container's limit leaves room above its heap, and ClickHouse's own limits are nested."""
    shares = budget.memory(machine_mib)
    assert shares.zookeeper_limit >= shares.zookeeper_heap + 128
    assert shares.kafka_limit >= 1.25 * shares.kafka_heap + 255
    assert shares.clickhouse_server <= 0.85 * shares.clickhouse_limit
    assert 2 * shares.clickhouse_query <= shares.clickhouse_server
    assert 2 * shares.clickhouse_spill <= shares.clickhouse_query
    assert 64 <= shares.clickhouse_mark_cache <= 5120


@given(MIB, st.integers(0, 64 * 1024))
def test_a_larger_machine_never_gives_clickhouse_less(machine_mib: int, more: int) -> None:
    """Within a step of ZooKeeper's heap, more memory is more for ClickHouse."""
    steps = (4096, 8192)
    if any(machine_mib <= step < machine_mib + more for step in steps):
        return
    # Three parts are rounded down on their own: that may cost three MiB.
    assert budget.memory(machine_mib + more).clickhouse_limit >= budget.memory(machine_mib).clickhouse_limit - 3


@pytest.mark.parametrize(
    ("machine", "limit", "server"),
    [("e2-medium", 1708, 1451), ("e2-standard-2", 4360, 3706), ("e2-standard-4", 9296, 7901)],
)
def test_known_machines(machine: str, limit: int, server: int) -> None:
    """The figures of the design, to the MiB."""
    shares = budget.memory(MACHINES[machine].memory_mib)
    assert (shares.clickhouse_limit, shares.clickhouse_server) == (limit, server)


@pytest.mark.parametrize(
    ("stack", "machine", "needs", "better"),
    [("dev", "e2-small", "1024", "e2-medium"), ("prod", "e2-standard-2", "4096", "e2-standard-4")],
)
def test_a_machine_that_is_too_small(stack: str, machine: str, needs: str, better: str) -> None:
    """The error has the key, the shares, what is needed, and the next machine type that fits."""
    settings = dataclasses.replace(settings_of(stack), machine_type=machine)
    with pytest.raises(StackError) as error:
        budget.check(settings)
    for part in ("logbrook:machineType", machine, needs, f"Take {better}."):
        assert part in str(error.value)


def test_rules_of_alerts_take_their_share_from_clickhouse() -> None:
    """Who has rules pays for the evaluator and Alertmanager, and an error counts them; the small machine still fits."""
    has_rules = dataclasses.replace(settings_of("dev"), alert_rules="compose/alerts.yaml")
    without = budget.node_memory(settings_of("dev"))
    assert budget.node_memory(has_rules).clickhouse_limit == without.clickhouse_limit - 320
    with pytest.raises(StackError, match="320 for alerts"):
        budget.check(dataclasses.replace(has_rules, machine_type="e2-small"))


def test_the_next_machine_that_fits_does_fit() -> None:
    """For every machine type there is an answer in its family, and it fits."""
    for machine in MACHINES.values():
        for environment in ("dev", "prod"):
            better = budget.next_that_fits(machine, environment)
            assert better is not None
            assert better.family == machine.family
            assert budget.fits(better, environment)


@given(partitions=st.integers(1, 64), retention=st.integers(2**28, 2**36), size=st.integers(10, 4000))
def test_kafka_disk(partitions: int, retention: int, size: int) -> None:
    """A disk is accepted exactly if all partitions, full and with a segment more, leave a quarter free."""
    settings = dataclasses.replace(
        settings_of("dev"), kafka_partitions=partitions, kafka_retention_bytes=retention, kafka_disk_gib=size
    )
    needed = partitions * (retention + budget.KAFKA_SEGMENT_BYTES) / GIB
    if needed <= budget.FULL_DISK * size:
        budget.check_disks(settings)
    else:
        with pytest.raises(StackError, match="logbrook:kafkaDiskGib"):
            budget.check_disks(settings)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"kafka_disk_gib": 10}, "logbrook:kafkaDiskGib"),
        ({"ingest_gib_per_day": 100}, "logbrook:clickhouseDiskGib"),
        ({"run_subnet": "10.10.1.0/26", "gateway_max": 40}, "logbrook:runSubnet"),
    ],
)
def test_what_does_not_fit_says_what_would(change: dict[str, Any], key: str) -> None:
    """Disks and subnet name their key; a disk's error ends with a size, and that size is enough."""
    settings = dataclasses.replace(settings_of("dev"), **change)
    with pytest.raises(StackError, match=key) as error:
        budget.check(settings)
    if "Disk" in key:
        enough = int(str(error.value).rstrip(".").rpartition(" ")[2])
        field = "kafka_disk_gib" if "kafka" in key else "clickhouse_disk_gib"
        larger: dict[str, Any] = {field: enough}
        budget.check_disks(dataclasses.replace(settings, **larger))


def test_the_audit_has_an_address() -> None:
    """Where no data node audits, a job of Cloud Run does, in the same subnet."""
    vm = settings_of("dev")
    managed = dataclasses.replace(vm, backend="managed")
    assert budget.run_instances(managed) == budget.run_instances(vm) + 1


def test_segment_size_is_the_brokers() -> None:
    """The budget counts with the segment size that compose.yaml sets."""
    assert f"KAFKA_LOG_SEGMENT_BYTES: {budget.KAFKA_SEGMENT_BYTES}" in (ROOT / "compose/compose.yaml").read_text()
