"""Whether answers keep what they say: a thread that takes the query API's answer again and again while faults strike.

I8 all that Kafka had acknowledged by an answer's `complete_until` is in that answer; I9 nothing whose arrival is at or
before it appears in a later one.
"""

import threading
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field

from logbrook import clickhouse
from logbrook.clickhouse import ClickHouseError
from logbrook.consumer.inlet import server_time
from logbrook.errors import LogbrookError
from logbrook.query.completeness import REPORTED
from tests.faults.ledger import Ledger
from tests.faults.processes import until
from tests.faults.stack import Place

_SHOWN = 8


@dataclass(frozen=True)
class Answer:
    """What was told, then counted. Times in ms by ClickHouse's clock; all processes of a test have the same one."""

    until: int
    rows: int
    """Those that had arrived by `until`."""
    ended_at: int


@dataclass
class Witness:
    """The answers of one place."""

    place: Place
    answers: list[Answer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="witness", daemon=True)

    def start(self) -> None:
        """Begin to take answers."""
        self._thread.start()

    def _run(self) -> None:
        client = None
        while not self._stop.wait(0.3):
            try:
                client = client or clickhouse.connect(self.place.database)
                complete = client.query(REPORTED).result_rows[0][0]
                [[rows]] = client.query(
                    f"SELECT count() FROM otel_logs WHERE IngestedAt <= fromUnixTimestamp64Milli({complete})"
                ).result_rows
                self.answers.append(Answer(complete, rows, int(server_time(client) * 1000)))
            except (ClickHouseError, LogbrookError):
                continue
        if client is not None:
            client.close()

    def told(self) -> list[Answer]:
        """The answers that say until when they are complete."""
        return [each for each in list(self.answers) if each.until]

    def check(self, ledger: Ledger) -> None:
        """Compare the answers with what is stored in the end, while a consumer runs. Raises AssertionError."""
        until(self.told, 120, "an answer says until when it is complete")
        self._stop.set()
        self._thread.join()
        stored = self.place.client.query(
            "SELECT toUnixTimestamp64Milli(IngestedAt), LogAttributes['id'] FROM otel_logs ORDER BY 1"
        ).result_rows
        arrivals = [at for at, _ in stored]
        for each in self.told():
            rows = bisect_right(arrivals, each.until)
            assert rows == each.rows, f"complete until {each.until} with {each.rows} rows, and then there were {rows}"
        told = sorted({each.until: each for each in reversed(self.told())}.items())
        first = dict[str, int]()
        for ingested_ms, name in stored:
            first.setdefault(name, ingested_ms)
        late = []
        for name, at_ms in ledger.in_kafka_at_ms.items():
            place = bisect_left(told, (at_ms,))
            if place < len(told) and first[name] > told[place][1].ended_at:
                late.append(name)
        assert not late, f"not in an answer that is complete until they were acknowledged: {late[:_SHOWN]}"
