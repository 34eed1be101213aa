"""The stack in containers: the Compose file that users run, on a Docker engine.

One stack serves all tests of this file. Its ZooKeeper is made slow, so that a broker that doesn't wait would be seen.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.compose import stack
from tests.compose.compose_file import COMPOSE_FILE, dependencies, mebibytes, services
from tests.compose.load import Load, load
from tests.compose.stack import Happening, Stack, until
from tests.observability.test_dashboards import PROMQL

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

HEALTHY = "health_status: healthy"
PROMETHEUS = COMPOSE_FILE.parent / "prometheus" / "prometheus.yml"
KILL_ALL_BUT_INIT = """
import os
for name in os.listdir("/proc"):
    if name.isdigit() and int(name) not in (1, os.getpid()):
        os.kill(int(name), 9)
"""
# Those of a profile are not started here; tests/collector runs what they run.
PROFILED = {name for name, service in services().items() if "profiles" in service}
SLOW_SECONDS = 10
SLOW_ZOOKEEPER = {
    "services": {
        "zookeeper": {"entrypoint": ["bash", "-c", f'sleep {SLOW_SECONDS}; exec "$@"', "--"]},
    }
}


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Stack]:
    """A stack that came up healthy."""
    if reason := stack.why_not():
        pytest.skip(f"no stack in containers here: {reason}")
    with stack.running(tmp_path_factory.mktemp("stack"), SLOW_ZOOKEEPER, request) as each:
        each.up()
        yield each


def test_nobody_starts_before_what_it_needs(started: Stack) -> None:
    """Each container starts after those it waits for were healthy, or had done their work."""
    happenings = started.happenings()

    for service, needed, condition in dependencies():
        if service in PROFILED:
            continue
        ready = first(happenings, needed, "die" if condition == "service_completed_successfully" else HEALTHY)
        assert ready.exit_code in (None, 0)
        assert first(happenings, service, "start").nanoseconds > ready.nanoseconds, f"{service} before {needed}"


def test_a_slow_zookeeper_keeps_kafka_waiting(started: Stack) -> None:
    """ZooKeeper took its time after its start, and Kafka's container did not start in the meantime."""
    happenings = started.happenings()
    started_at = first(happenings, "zookeeper", "start").nanoseconds
    healthy_at = first(happenings, "zookeeper", HEALTHY).nanoseconds

    assert healthy_at - started_at > SLOW_SECONDS * 1e9
    assert not [each for each in happenings if each.service == "kafka" and each.nanoseconds < healthy_at]
    assert not [each for each in happenings if each.service == "kafka" and each.what == "die"]


def test_events_in_rows_out(started: Stack) -> None:
    """What the gateway accepts is stored once each, with the name of the token's source."""
    started.send([{"message": f"event {number}", "service": "in-out"} for number in range(1000)])

    until(lambda: stored(started, "in-out") == 1000, "1000 rows")
    assert started.query("SELECT DISTINCT Source FROM otel_logs WHERE ServiceName = 'in-out'") == "tests"
    assert duplicates(started) == 0


def test_the_query_api_finds_an_event(started: Stack) -> None:
    """What was sent is found over HTTP, by a user of ClickHouse who may only read."""
    started.send([{"message": "a needle in the logs", "service": "found"}])
    until(lambda: stored(started, "found") == 1, "the row")

    [event] = started.search("needle")["events"]

    assert event["body"] == "a needle in the logs"


def test_the_stacks_own_logs_arrive(started: Stack) -> None:
    """ZooKeeper, Kafka, gateway and consumer are the first sources of real logs."""
    own = [f"Body LIKE '%{text}%'" for text in ("QuorumPeerMain", "kafka.server.KafkaServer")]
    own += [f"ServiceName = '{name}'" for name in ("logbrook-gateway", "logbrook-consumer")]

    until(lambda: all(count(started, condition) for condition in own), "logs of all four")


@pytest.mark.parametrize("name", sorted(set(services()) - PROFILED))
def test_limits_hold_in_the_engine(started: Stack, name: str) -> None:
    """The engine enforces what the file says: memory, user, capabilities, a read-only root, ports on loopback."""
    wanted = services()[name]
    for container in started.containers(name):
        host = container["HostConfig"]
        assert host["Memory"] == mebibytes(wanted["mem_limit"]) * 2**20
        assert container["Config"]["User"] == wanted["user"]
        assert host["CapDrop"] == ["ALL"]
        assert host["ReadonlyRootfs"] is True
        assert host["RestartPolicy"]["Name"] == wanted["restart"]
        published = [each["HostIp"] for ports in host["PortBindings"].values() for each in ports]
        assert published == ["127.0.0.1"] * len(wanted.get("ports", []))
        # A volume without a name of ours would be left behind by each `down`.
        volumes = [each["Name"] for each in container["Mounts"] if each["Type"] == "volume"]
        assert all(volume.startswith(f"{started.project}_") for volume in volumes)


def test_a_killed_process_comes_back(started: Stack) -> None:
    """A consumer that dies is started again by the engine, and goes on where it was, once each."""
    before = len(deaths(started, "consumer"))
    # The container may end before the command in it has: then Docker reports an error that says nothing.
    with contextlib.suppress(AssertionError):
        started.compose("exec", "--no-TTY", "consumer", "python", "-c", KILL_ALL_BUT_INIT)
    started.send([{"message": "after a death", "service": "killed"}] * 10)

    until(lambda: len(deaths(started, "consumer")) == before + 1, "the consumer's death")
    until(lambda: stored(started, "killed") == 10, "10 rows")
    until(lambda: all(healthy(each) for each in started.containers("consumer")), "a healthy consumer")
    assert duplicates(started) == 0


def test_three_consumers_share_the_work(started: Stack) -> None:
    """The consumer scales: three of them become healthy side by side, and each event is stored once."""
    started.up("--no-recreate", "--scale", "consumer=3")
    started.send([{"message": f"shared {number}", "service": "shared"} for number in range(1000)])

    assert [healthy(each) for each in started.containers("consumer")] == [True] * 3
    until(lambda: stored(started, "shared") == 1000, "1000 rows")
    assert duplicates(started) == 0


def comes_up(started: Stack) -> bool:
    """Whether `up` succeeds; if not, a test that fails shows what it said."""
    try:
        started.up("--no-recreate")
    except AssertionError as error:
        print(error)
        return False
    return True


@pytest.mark.parametrize("name", ["zookeeper", "kafka", "clickhouse", "gateway", "consumer", "query", "ship"])
def test_a_restart_under_load_loses_nothing(started: Stack, name: str) -> None:
    """`docker compose restart` of any service, while events come: all that were acknowledged are stored, once each."""
    with load(started, f"restart-{name}") as sender:
        until(lambda: sender.accepted > 100, "events before the restart")
        started.compose("restart", name)
        # What needs it may be unhealthy for a moment, now or soon, which `up` takes for a failure.
        until(lambda: comes_up(started), "all of it healthy again", 240)
        seen = sender.accepted
        until(lambda: sender.accepted > seen + 100, "events after the restart")

    stored_once(started, sender)


def test_clickhouse_killed_by_its_memory_limit_comes_back(started: Stack) -> None:
    """The kernel ends the server at its container's limit; the engine starts it again; nothing is lost or double."""
    before = len(deaths(started, "clickhouse"))
    with load(started, "out-of-memory") as sender:
        until(lambda: sender.accepted > 100, "events before the kill")
        # Of what is in the container the server is to be the victim; then something eats memory without end.
        eat = "echo 1000 > /proc/1/oom_score_adj; exec tail /dev/zero"
        with pytest.raises(AssertionError):
            started.compose("exec", "--no-TTY", "clickhouse", "bash", "-c", eat)
        until(lambda: len(deaths(started, "clickhouse")) == before + 1, "the server's death")
        until(lambda: all(healthy(each) for each in started.containers("clickhouse")), "a healthy server", 120)
        seen = sender.accepted
        until(lambda: sender.accepted > seen + 100, "events after the kill")

    assert deaths(started, "clickhouse")[-1].exit_code == 137
    assert [each for each in started.happenings() if (each.service, each.what) == ("clickhouse", "oom")]
    stored_once(started, sender)


def test_everything_is_watched(started: Stack) -> None:
    """Prometheus reaches each process, however many consumers there are, and the machine's own figures."""
    watched = {each["job_name"] for each in yaml.safe_load(PROMETHEUS.read_text())["scrape_configs"]}

    until(lambda: {each["metric"]["job"] for each in started.figures("up == 1")} == watched, "all to answer", 120)
    assert started.figures("up == 0") == []
    # The panels that the native stack has no figures for.
    for title, promql in PROMQL:
        if "node_" in promql:
            expression = promql.replace("$__rate_interval", "1m")
            until(lambda query=expression: bool(started.figures(query)), title)  # type: ignore[misc]


def test_an_alert_becomes_an_event(started: Stack) -> None:
    """Alertmanager's webhook, as an example, brings alerts into the table."""
    alert = {"labels": {"alertname": "Drill", "severity": "warning"}, "annotations": {"summary": "only a drill"}}
    started.alert(alert)

    until(lambda: count(started, "LogAttributes['commonAnnotations.summary'] = 'only a drill'") == 1, "the event", 120)


def test_down_and_up_keeps_the_data(started: Stack) -> None:
    """After `down` and `up` the rows are there, Kafka knows what was consumed, and new events arrive."""
    started.send([{"message": f"kept {number}", "service": "kept"} for number in range(100)])
    until(lambda: stored(started, "kept") == 100, "100 rows")

    started.compose("down")
    assert started.containers("clickhouse") == []
    started.up()

    assert stored(started, "kept") == 100
    started.send([{"message": "new", "service": "kept"}])
    until(lambda: stored(started, "kept") == 101, "the new row")
    assert duplicates(started) == 0


def first(happenings: list[Happening], service: str, what: str) -> Happening:
    """The first time that this happened to this service."""
    found = [each for each in happenings if each.service == service and each.what == what]
    assert found, f"{service}: no {what!r} among {happenings}"
    return found[0]


def deaths(started: Stack, service: str) -> list[Happening]:
    """How often a container of the service ended."""
    return [each for each in started.happenings() if each.service == service and each.what == "die"]


def healthy(container: dict[str, Any]) -> bool:
    """Whether the engine holds a container to be healthy."""
    return bool(container["State"]["Health"]["Status"] == "healthy")


def stored_once(started: Stack, sender: Load) -> None:
    """All that the sender was promised is there, and nothing twice."""
    until(lambda: stored(started, sender.service) >= sender.accepted, f"{sender.accepted} rows", 120)
    distinct = started.query(f"SELECT uniqExact(Body) FROM otel_logs WHERE ServiceName = '{sender.service}'")
    assert (stored(started, sender.service), int(distinct)) == (sender.accepted, sender.accepted)


def count(started: Stack, condition: str) -> int:
    """How many rows fulfill a condition."""
    return int(started.query(f"SELECT count() FROM otel_logs WHERE {condition}"))


def stored(started: Stack, service: str) -> int:
    """How many rows a service has."""
    return count(started, f"ServiceName = '{service}'")


def duplicates(started: Stack) -> int:
    """How many rows are there more than once."""
    identity = "KafkaTopic, KafkaPartition, KafkaOffset, KafkaIndex"
    return int(started.query(f"SELECT count() - uniqExact({identity}) FROM otel_logs"))
