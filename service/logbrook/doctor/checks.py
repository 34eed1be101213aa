"""All checks in order, what each depends on, and how they are run: at the same time, none longer than it may take."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from logbrook.clickhouse import ClickHouseError, error_code
from logbrook.doctor import database, doors, group, kafka, local, probe, server, topic
from logbrook.doctor.diagnosis import Answer, Diagnosis, Found, NotCheckedError
from logbrook.doctor.place import Place, within

INVALID = Diagnosis("settings.invalid", "A setting does not fit.", "Correct it: docs/configuration.md lists them all.")
UNKNOWN = Diagnosis(
    "settings.unknown",
    "A variable with Logbrook's prefix is not a setting: most likely it is misspelt.",
    "Correct or remove it: docs/configuration.md lists them all. Every other command refuses to start with it.",
    "warning",
)
NOTHING = Diagnosis(
    "settings.nothing",
    "No setting leads to any part of a deployment.",
    "Run it beside the `.env` that `make local-up` has made, in a container of the stack, or with LOGBROOK_... set.",
)
LATE = Diagnosis(
    "check.late",
    "A check did not end in its time.",
    "Something answers, but slowly: look at the load of both machines.",
)
BROKEN = Diagnosis(
    "check.broken",
    "A check could not be finished: an answer that nobody expected.",
    "Run the doctor again; then, report it.",
)


@dataclass(frozen=True)
class Check:
    """A question, and the checks whose failure would be the reason for its own."""

    name: str
    run: Callable[[Place], Answer]
    after: tuple[str, ...] = ()
    quick: bool = False
    seconds: float = 15.0


@dataclass(frozen=True)
class Finding:
    """What came of one check. `state` is ok, failed, warning or not checked."""

    check: str
    state: str
    text: str
    code: str = ""
    remedy: str = ""
    seconds: float = 0.0
    blocked: bool = False
    """Not checked because of another check's failure."""


def settings(place: Place) -> Answer:
    """Whether the settings fit, and lead anywhere."""
    if place.invalid:
        return INVALID.found("; ".join(place.invalid))
    if not any(place.parts.get(name) for name in ("kafka", "clickhouse", "gateway", "query")):
        return NOTHING.found("neither the environment nor a `.env` here or above names one")
    if place.unknown:
        return UNKNOWN.found(", ".join(place.unknown))
    return f"from {place.stack / '.env'}" if place.stack else "from the environment"


CHECKS = (
    Check("settings", settings, quick=True),
    Check("stack", local.stack, ("settings",), quick=True),
    Check("zookeeper", kafka.zookeeper, ("stack",), quick=True),
    Check("kafka address", kafka.address, ("zookeeper",), quick=True),
    Check("kafka login", kafka.login, ("kafka address",), quick=True),
    Check("kafka advertised", kafka.advertised, ("kafka login",), quick=True),
    Check("topic", topic.describe, ("kafka advertised",)),
    Check("kafka rights", topic.rights, ("topic",)),
    Check("topic retention", topic.retention, ("kafka rights",)),
    Check("clickhouse address", database.address, ("stack",), quick=True),
    Check("clickhouse login", database.login, ("clickhouse address",), quick=True),
    Check("schema", database.schema, ("clickhouse login",)),
    Check("clickhouse rights", database.rights, ("schema",)),
    Check("clickhouse memory", server.memory, ("schema",)),
    Check("clickhouse disk", server.disk, ("schema",)),
    Check("clickhouse parts", server.parts, ("schema",)),
    Check("clickhouse clock", server.clock, ("schema",)),
    Check("consumers", group.members, ("kafka rights", "clickhouse rights", "clickhouse disk"), seconds=30.0),
    Check("lag", group.lag, ("consumers",), seconds=30.0),
    Check("inlets", server.inlets, ("consumers",)),
    Check("gateway address", doors.gateway_address, ("stack", "kafka address")),
    Check("gateway", doors.gateway_ready, ("gateway address", "topic")),
    Check("gateway token", doors.token, ("gateway",)),
    Check("query address", doors.query_address, ("stack", "clickhouse address")),
    Check("query", doors.query_ready, ("query address", "schema")),
    Check("probe", probe.probe, ("gateway token", "lag", "query"), seconds=70.0),
    Check("messages clock", server.messages_clock, ("probe",)),
)


def examine(
    place: Place, checks: Sequence[Check] = CHECKS, begun: Callable[[str], None] = lambda _name: None
) -> list[Finding]:
    """Run the checks, each as soon as those before it have ended. `begun` is told of each one, from any thread."""
    findings: dict[str, Finding] = {}
    done = {each.name: threading.Event() for each in checks}

    def work(check: Check) -> None:
        for name in check.after:
            if name in done:
                done[name].wait()
        reason = next((name for name in check.after if _stops(findings.get(name))), None)
        if reason is None:
            begun(check.name)
            findings[check.name] = _run(check, place)
        else:
            first = findings[reason]
            cause = first.text if first.blocked else f"because of {reason}"
            findings[check.name] = Finding(check.name, "not checked", cause, blocked=True)
        done[check.name].set()

    for each in checks:
        threading.Thread(target=work, args=(each,), daemon=True).start()
    for event in done.values():
        event.wait()
    return [findings[each.name] for each in checks]


def _stops(finding: Finding | None) -> bool:
    return finding is not None and (finding.state == "failed" or finding.blocked)


def _run(check: Check, place: Place) -> Finding:
    started = time.monotonic()
    try:
        answer = within(check.seconds, lambda: check.run(place))
    except TimeoutError as error:
        answer = LATE.found(str(error))
    except NotCheckedError as reason:
        return Finding(check.name, "not checked", str(reason))
    except Exception as error:
        if may_not := _forbidden(error):
            return Finding(check.name, "not checked", f"because this user may not ask: {may_not}")
        late = isinstance(error, KafkaException) and error.args[0].code() == KafkaError._TIMED_OUT
        answer = (LATE if late else BROKEN).found(f"{type(error).__name__}: {str(error)[:300]}")
    seconds = round(time.monotonic() - started, 3)
    if isinstance(answer, Found):
        kind = answer.diagnosis
        return Finding(check.name, kind.severity, answer.text, kind.code, answer.remedy, seconds)
    return Finding(check.name, "ok", answer, seconds=seconds)


def _forbidden(error: Exception) -> str | None:
    """What a user with few rights is told; each role's own rights are a check of their own."""
    if isinstance(error, ClickHouseError) and error_code(error) == database.ACCESS_DENIED:
        return "ClickHouse's system tables"
    denied = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED)
    if isinstance(error, KafkaException) and error.args[0].code() in denied:
        return str(error.args[0].str())
    return None


def as_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """For programs."""
    return {"ok": passed(findings), "findings": [asdict(each) for each in findings]}


def passed(findings: Sequence[Finding]) -> bool:
    """Whether nothing failed."""
    return all(each.state != "failed" for each in findings)
