"""All checks in order, what each depends on, and how they run: at the same time, each with a deadline."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from logbrook.doctor import contact, database, kafka, probe, processes
from logbrook.doctor.diagnosis import NotCheckedError, Wrong
from logbrook.doctor.place import PARTS, UNKNOWN, Place


@dataclass(frozen=True)
class Check:
    """A question (`run`'s docstring), and where and when it applies.

    `run` returns what it found if nothing is wrong. It raises Wrong, or NotCheckedError if it can't tell.
    """

    name: str
    run: Callable[[Place], str]
    needs: tuple[str, ...] = ()
    """What has to be known about the place."""
    after: tuple[str, ...] = ()
    """The checks above whose failure would cause its own."""
    quick: bool = False
    seconds: float = 15.0


@dataclass(frozen=True)
class Finding:
    """The outcome of one check. `state` is ok, failed, warning or not checked."""

    check: str
    state: str
    text: str
    code: str = ""
    remedy: str = ""
    seconds: float = 0.0
    blocked: bool = False
    """Not checked because of another check's failure."""


def settings(place: Place) -> str:
    """Are the settings valid, and do they lead to a deployment?"""
    if place.invalid:
        raise Wrong("settings.invalid", said="; ".join(place.invalid))
    if not any(hasattr(place, part) for part in PARTS):
        raise Wrong("settings.nothing")
    if place.unknown:
        raise Wrong("settings.unknown", said=", ".join(place.unknown))
    return f"from {place.stack / '.env'}" if hasattr(place, "stack") else "from the environment"


_KAFKA, _GROUP, _TABLES = ("kafka",), ("kafka", "topic"), ("clickhouse",)
CHECKS = (
    Check("settings", settings, quick=True),
    Check("stack", processes.stack, ("stack",), ("settings",), quick=True),
    Check("zookeeper", kafka.zookeeper, (), ("stack",), quick=True),
    Check("kafka address", kafka.address, _KAFKA, ("zookeeper",), quick=True),
    Check("kafka login", kafka.login, _KAFKA, ("kafka address",), quick=True),
    Check("kafka advertised", kafka.advertised, _KAFKA, ("kafka login",), quick=True),
    Check("topic", kafka.topic, _KAFKA, ("kafka advertised",)),
    Check("kafka rights", kafka.rights, _GROUP, ("topic",)),
    Check("topic retention", kafka.retention, _GROUP, ("kafka rights",)),
    Check("clickhouse address", database.address, _TABLES, ("stack",), quick=True),
    Check("clickhouse login", database.login, _TABLES, ("clickhouse address",), quick=True),
    Check("schema", database.schema, _TABLES, ("clickhouse login",)),
    Check("clickhouse rights", database.rights, _TABLES, ("schema",)),
    Check("clickhouse memory", database.memory, _TABLES, ("schema",)),
    Check("clickhouse disk", database.disk, _TABLES, ("schema",)),
    Check("clickhouse parts", database.parts, _TABLES, ("schema",)),
    Check("clickhouse clock", database.clock, _TABLES, ("schema",)),
    Check("consumers", kafka.members, _GROUP, ("kafka rights", "clickhouse rights", "clickhouse disk"), seconds=30.0),
    Check("lag", kafka.lag, (*_GROUP, "members"), ("consumers",), seconds=40.0),
    Check("inlets", database.inlets, ("clickhouse", "members"), ("consumers",)),
    Check("gateway address", probe.address("gateway"), ("gateway",), ("stack", "kafka address")),
    Check("gateway", probe.ready("gateway"), ("gateway",), ("gateway address", "topic")),
    Check("gateway token", probe.token, ("gateway",), ("gateway",)),
    Check("query address", probe.address("query"), ("query",), ("stack", "clickhouse address")),
    Check("query", probe.ready("query"), ("query",), ("query address", "schema")),
    Check("probe", probe.probe, (), ("gateway token", "lag", "query"), seconds=90.0),
    Check("messages clock", database.messages_clock, ("message_offset_seconds",), ("probe",)),
)


def examine(
    place: Place, checks: Sequence[Check] = CHECKS, begun: Callable[[str], None] = lambda _name: None
) -> list[Finding]:
    """Run the checks, each as soon as those it depends on have ended. `begun` is called with each, from any thread."""
    findings: dict[str, Finding] = {}
    done = {each.name: threading.Event() for each in checks}

    def work(check: Check) -> Finding:
        try:
            before = [name for name in check.after if name in done]
            for name in before:
                done[name].wait()
            reason = next((findings[name] for name in before if _stops(findings[name])), None)
            if reason is not None:
                cause = reason.text if reason.blocked else f"because of {reason.check}"
                finding = Finding(check.name, "not checked", cause, blocked=True)
            else:
                begun(check.name)
                finding = _run(check, place)
            findings[check.name] = finding
            return finding
        finally:
            done[check.name].set()

    ended = contact.at_once(work, checks, sum(each.seconds for each in checks))
    for each in ended:
        if isinstance(each, Exception):
            raise each
    return [findings[each.name] for each in checks]


def _stops(finding: Finding) -> bool:
    return finding.state == "failed" or finding.blocked


def _run(check: Check, place: Place) -> Finding:
    if missing := [part for part in check.needs if not hasattr(place, part)]:
        return Finding(check.name, "not checked", UNKNOWN.get(missing[0], "because Kafka was not asked"))
    started = time.monotonic()
    [outcome] = contact.at_once(check.run, [place], check.seconds)
    seconds = round(time.monotonic() - started, 3)
    if isinstance(outcome, str):
        return Finding(check.name, "ok", outcome, seconds=seconds)
    found = contact.understood(outcome)
    if isinstance(found, NotCheckedError):
        return Finding(check.name, "not checked", str(found))
    kind = found.diagnosis
    return Finding(check.name, kind.severity, str(found), kind.code, found.remedy, seconds)
