"""Made-up events: the same for a seed, valid, unique, and shaped like a shop's logs."""

import json
from collections import Counter, defaultdict
from typing import Any

import pytest

from logbrook.produce.catalog import FLOWS, SERVICES
from logbrook.produce.generator import BLOCK_EVENTS, Events
from logbrook.produce.slots import POOL_SIZE, stretch

START_NS = 1_767_225_600_000_000_000
STEP_NS = 1_000_000


def take(seed: int, size: int, *, event_ids: bool = False) -> list[dict[str, Any]]:
    """The first `size` events of a seed, parsed."""
    lines = Events(seed, event_ids=event_ids).take(size, START_NS, STEP_NS).split(b"\n")
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def events() -> list[dict[str, Any]]:
    """Enough events for shares and bursts to show."""
    return take(7, 100_000, event_ids=True)


def test_same_seed_same_events() -> None:
    """A seed fixes every byte; another seed gives something else."""
    first = Events(3, event_ids=True).take(2_000, START_NS, STEP_NS)
    assert Events(3, event_ids=True).take(2_000, START_NS, STEP_NS) == first
    assert Events(4, event_ids=True).take(2_000, START_NS, STEP_NS) != first


@pytest.mark.parametrize("sizes", [[1] * 1_203, [500, 500, 203], [499, 2, 702], [1_203]])
def test_the_cut_does_not_matter(sizes: list[int]) -> None:
    """However the stream is cut into pieces, its events are the same."""
    whole = Events(5).take(1_203, START_NS, STEP_NS)
    events = Events(5)
    pieces = [events.take(size, START_NS + events.position * STEP_NS, STEP_NS) for size in sizes]
    assert b"\n".join(pieces) == whole


def test_time_alone_depends_on_the_time_base() -> None:
    """With another start, the same seed differs in nothing but `timestamp`."""
    early = take(9, 700)
    late = [json.loads(line) for line in Events(9).take(700, START_NS + 10**15, 7).split(b"\n")]
    for event in (*early, *late):
        del event["timestamp"]
    assert early == late


def test_times_are_evenly_spaced(events: list[dict[str, Any]]) -> None:
    """Each event is one step after the one before."""
    assert [event["timestamp"] for event in events] == [START_NS + n * STEP_NS for n in range(len(events))]


def test_times_may_stand_still() -> None:
    """A step of 0 gives all events one time."""
    stamps = {json.loads(line)["timestamp"] for line in Events(1).take(600, START_NS, 0).split(b"\n")}
    assert stamps == {START_NS}


def test_event_ids_are_unique(events: list[dict[str, Any]]) -> None:
    """`event_id` is the seed and the event's number, only when asked for."""
    assert [event["event_id"] for event in events] == [f"7-{number}" for number in range(len(events))]
    assert not any("event_id" in event for event in take(7, 1_000))


def test_no_slot_is_left_open(events: list[dict[str, Any]]) -> None:
    """Every slot of every template gets a value."""
    for line in Events(2, event_ids=True).take(30_000, START_NS, STEP_NS).split(b"\n"):
        assert b"<" not in line.replace(b"<init>", b"")


def test_values_fit_their_places(events: list[dict[str, Any]]) -> None:
    """Ids are lower-case hex of OpenTelemetry's lengths, numbers are numbers."""
    for event in events:
        if "trace_id" in event:
            assert len(bytes.fromhex(event["trace_id"])) == 16
            assert len(bytes.fromhex(event["span_id"])) == 8
        duration = event["attributes"].get("duration_ms", 1.0)
        assert isinstance(duration, int | float)
        assert duration >= 0


def test_volumes_fall_as_zipf_says(events: list[dict[str, Any]]) -> None:
    """All twelve services write; the busiest writes far more than the middle one, and that more than the last."""
    shares = [count for _, count in Counter(event["resource"]["service.name"] for event in events).most_common()]
    assert len(shares) == len(SERVICES) == 12
    assert shares[0] > 3 * shares[5]
    assert shares[5] > 1.5 * shares[-1]


def test_users_are_zipf_like(events: list[dict[str, Any]]) -> None:
    """A few users are seen often, thousands at least once."""
    users = Counter(event["attributes"]["user.id"] for event in events if "user.id" in event["attributes"])
    assert len(users) > 2_000
    assert users.most_common(1)[0][1] > 50 * sorted(users.values())[len(users) // 2]


def test_many_templates_and_all_severities(events: list[dict[str, Any]]) -> None:
    """There are 40 templates and more; most lines are INFO, some DEBUG, few WARN, fewer ERROR."""
    templates = {
        line.body for service in SERVICES for line in (*service.requests, *service.background, *service.failures)
    }
    assert len(templates) >= 40
    shares = Counter(event["severity_text"] for event in events)
    assert shares["INFO"] > shares["DEBUG"] > shares["WARN"] > shares["ERROR"] > 0


def test_traces_cross_services(events: list[dict[str, Any]]) -> None:
    """A trace's events share its id and user, cross the services of one flow, and keep one span per service."""
    traces: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        if "trace_id" in event:
            traces[event["trace_id"]].append(event)
    sizes: Counter[int] = Counter()
    for trace in traces.values():
        services = [event["resource"]["service.name"] for event in trace]
        spans = {(event["resource"]["service.name"], event["span_id"]) for event in trace}
        pods = {(event["resource"]["service.name"], event["resource"]["k8s.pod.name"]) for event in trace}
        assert len(spans) == len(set(services)) == len(pods)
        assert any(set(services) <= set(flow) for flow in FLOWS)
        assert len({event["attributes"]["user.id"] for event in trace if "user.id" in event["attributes"]}) <= 1
        sizes[len(set(services))] += 1
    assert sum(count for size, count in sizes.items() if size >= 3) > 0.6 * len(traces)


def test_errors_come_in_bursts(events: list[dict[str, Any]]) -> None:
    """Some blocks have many times the errors of a usual one."""
    errors = [
        sum(event["severity_number"] >= 17 for event in events[start : start + BLOCK_EVENTS])
        for start in range(0, len(events), BLOCK_EVENTS)
    ]
    usual = sorted(errors)[len(errors) // 2]
    assert max(errors) > 5 * max(usual, 1)
    assert sum(count > 3 * max(usual, 1) for count in errors) < len(errors) / 10


def test_some_failures_have_a_stack_trace(events: list[dict[str, Any]]) -> None:
    """Python, Java and Go stack traces occur, of several lines."""
    stacks = [event["attributes"].get("exception.stacktrace", "") for event in events]
    for start in ("Traceback (most recent call last):\n  File", "com.example.shop", "panic: "):
        assert any(stack.startswith(start) and stack.count("\n") >= 4 for stack in stacks)


@pytest.mark.parametrize(("start", "size"), [(0, 10), (POOL_SIZE - 3, 10), (5, 3 * POOL_SIZE), (0, 0)])
def test_a_stretch_goes_round(start: int, size: int) -> None:
    """A stretch of a pool has its size, and goes on at the pool's start when it is at its end."""
    pool = [b"%d" % number for number in range(POOL_SIZE)]
    assert stretch(pool, start, size) == [pool[(start + n) % POOL_SIZE] for n in range(size)]
