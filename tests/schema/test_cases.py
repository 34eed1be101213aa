"""Inputs like those of public reports about comparable tools: what comes out of each is what was expected.

They are files of a folder that is not part of the repository; LOGBROOK_CASES names it. Samples of each kind of our own
are in the tests beside this one.
"""

import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from logbrook.config import Gateway
from logbrook.produce.files import Files
from logbrook.produce.lines import Reading
from logbrook.produce.target import TEXT, Stop
from tests.gateway.door import read
from tests.schema.conftest import Store

FOLDER = Path(os.environ.get("LOGBROOK_CASES", Path(__file__).parents[3] / "shared/data/cases"))
LIST = FOLDER / "cases.md"
SENT = dict(re.findall(r"^## (\S+)\n\nSent: ([\w-]+)", LIST.read_text(), re.MULTILINE)) if LIST.exists() else {}
SETTINGS = Gateway(allow_anonymous=True)
KINDS = {
    "text": "text/plain",
    "json": "application/json",
    "ndjson": "application/x-ndjson",
}
ARRIVAL = datetime(2026, 11, 26, 13, 33, 20, tzinfo=UTC)
NOON = "2026-11-26 12:34:56"
AT_ARRIVAL = "2026-11-26 13:33:20"
# For each file, how its events' times begin, and their levels, where the case decides them; "" means no level.
TIMES = {
    "a01": [NOON] * 2, "a02": [NOON] * 10, "a03": [NOON] * 3, "a04": [AT_ARRIVAL] * 3, "a05": [AT_ARRIVAL],
    "a06": ["2026-11-25 23:59:59", "2026-11-25 17:30:00"], "a07": [NOON] * 5, "a08": [NOON] * 3 + [AT_ARRIVAL],
    "a09": [NOON] * 8 + [AT_ARRIVAL] * 2, "c03": [NOON] * 2, "e06": [NOON], "f01": [NOON, "2026-11-26 12:34:57"],
    "f02": [NOON] * 5, "g01": [NOON] * 4,
}  # fmt: skip
LEVELS = {
    "a01": "ERROR INFO", "b01": "ERROR ERROR ERROR INFO INFO", "b02": "INFO WARN ERROR WARN", "b03": "INFO INFO ERROR",
    "b05": "INFO ERROR INFO WARN", "c02": "DEBUG ERROR", "c03": "ERROR ERROR", "d03": "ERROR ERROR",
    "e01": "ERROR INFO", "e02": "ERROR ERROR", "e06": "ERROR", "f01": "ERROR INFO",
}  # fmt: skip
# How many events there are, and a word that all of them must hold.
EVENTS = {"c01": (4, "pubcc01"), "c04": (2, "pub-cc04"), "d04": (3, "pubcd04"), "d05": (3, "pubcd05"),
          "e03": (2, "2026"), "e04": (3, ""), "e05": (2, "pubce05"), "d02": (1, "snake")}  # fmt: skip
SERVICES = {"g01": ["pub-sshd", "pub.launchd", "pub-syslogd", "pub-sshd"], "e02": ["cases"] * 2}

pytestmark = pytest.mark.skipif(not SENT, reason="no cases: set LOGBROOK_CASES to their directory")


def payloads(name: str) -> list[bytes]:
    """The messages in Kafka if a file is sent as the list says."""
    file, how = FOLDER / name, SENT[name]
    if how.startswith("produce"):
        reading = Reading(multiline=how != "produce", service=None if name.startswith(("g", "c")) else "cases")
        batches = Files([str(file)], reading).batches(Stop())
        if how == "produce-kafka":
            return [batch.payload for batch in batches]
        kinds = [(batch.payload, "text/plain" if batch.kind == TEXT else "application/x-ndjson") for batch in batches]
        return [message for body, kind in kinds for message in read(body, kind, SETTINGS).messages]
    if how == "kafka":
        return [file.read_bytes()]
    return list(read(file.read_bytes(), KINDS[how], SETTINGS).messages)


@pytest.mark.parametrize(
    "name", [name for name in sorted(SENT) if SENT[name] in (*KINDS, "kafka") or "produce" in SENT[name]]
)
def test_case(store: Store, name: str) -> None:
    """Times, levels, programs, and the number of events are those of the list; every value is somewhere."""
    rows = [row for rows in store(payloads(name), int(ARRIVAL.timestamp() * 1000)) for row in rows]
    case = name[:3]
    if case in TIMES:
        assert [row["Timestamp"][:19] for row in rows] == TIMES[case]
    if case in LEVELS:
        assert [row["SeverityText"] for row in rows] == LEVELS[case].split()
    if case in EVENTS:
        count, word = EVENTS[case]
        assert len(rows) == count
        assert all(word.encode() in row["Body"] for row in rows)
    if case in SERVICES:
        assert [row["ServiceName"] for row in rows] == SERVICES[case]
    if case == "d01":
        held = json.dumps([row["LogAttributes"] for row in rows])
        assert all(value in held for value in ("lower", "second", "error", '"1"', '"2"'))
