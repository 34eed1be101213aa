"""What hostile SQL does to everybody else: `python -m bench.hostile`, or `make bench-hostile`.

Starts the native ClickHouse and `logbrook query` as its user `reader`, and sends hundreds of hostile statements to
/v1/sql from several clients at once: forbidden names in every place of SELECT's grammar, deep nesting, every allowed
function with large arguments, and whatever else takes long. Meanwhile, one client searches, one inserts, and one asks
/healthz; their times are compared with those of the same clients before and after. Fails unless every promise of
docs/security.md holds.
"""

import argparse
import contextlib
import itertools
import logging
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import httpx
from clickhouse_connect.driver.exceptions import DatabaseError

from bench import query_data
from bench.query import api, percentile, say, server
from logbrook import clickhouse
from logbrook.clickhouse import HttpClient
from logbrook.query import functions
from tests.query import grammar

DEADLINE_SECONDS = 5.0
_CLIENTS = 6
CANARY = "canary-9d1f60c7e2b8"
# Values by their type, each different in each row: what a function is called with.
_VALUES = {
    "string": "repeat(concat(toString(n), 'aA{1,/%'), 100)",
    "pattern": "'(a|b)*(.{1,20})+c$'",
    "number": "n",
    "array": "arrayMap(x -> x + n, range(300))",
    "strings": "arrayMap(x -> toString(x + n), range(100))",
    "map": "mapFromArrays(arrayMap(x -> x + n, range(100)), range(100))",
    "time": "toDateTime64(n, 9)",
    "lambda": "x -> has(range(100000), x)",
    "needles": "['abc', 'a.*b.*c', 'd{1,20}e']",
    "small": "3",
}
_FORMS = """
    lambda,array lambda,map string,pattern string,string array,array array,number map,map string,needles string,number
    string,small number,number time,time time,small map,string array,small strings,string string,pattern,string
    string,string,string string,string,small string,small,string number,number,number string array number time map
"""
_ROWS = "SELECT arrayJoin(range(100000)) AS n"


def _calls(client: HttpClient, names: list[str]) -> Iterator[str]:
    """Each function in the first form with large arguments that ClickHouse accepts for it."""
    for name in names:
        for form in _FORMS.split():
            call = f"{name}({', '.join(_VALUES[kind] for kind in form.split(','))})"
            with contextlib.suppress(DatabaseError):
                client.command(f"EXPLAIN SELECT any({call}) FROM (SELECT arrayJoin(range(2)) AS n)")
                yield f"SELECT max(length(toString({call}))) FROM ({_ROWS})"
                break


_HEAVY = (
    f"SELECT count() FROM ({_ROWS}) AS a, ({_ROWS}) AS b, ({_ROWS}) AS c WHERE a.n * b.n = c.n",
    "SELECT count() FROM otel_logs AS a JOIN otel_logs AS b ON a.ServiceName = b.ServiceName",
    "SELECT count() FROM otel_logs AS a CROSS JOIN otel_logs AS b WHERE match(a.Body, b.Body)",
    "SELECT * FROM otel_logs AS a ASOF JOIN otel_logs AS b ON a.Body = b.Body AND a.Timestamp > b.Timestamp",
    "SELECT Body, TraceId, count() FROM otel_logs GROUP BY CUBE(Body, TraceId, SpanId)",
    "SELECT groupArray(Body), groupUniqArray(TraceId), uniqExact(Body), groupArray(LogAttributes) FROM otel_logs",
    "SELECT DISTINCT Body, LogAttributes, ResourceAttributes FROM otel_logs ORDER BY reverse(Body), Body",
    "SELECT groupArray(Body) OVER (ORDER BY Timestamp) FROM otel_logs",
    "SELECT quantileExact(0.5)(length(Body)) OVER (ORDER BY Timestamp ROWS 100000 PRECEDING) FROM otel_logs",
    "SELECT 1 AS n ORDER BY n WITH FILL FROM 0 TO 1000000000000000000 STEP 1",
    "SELECT arrayJoin(range(100000)) FROM otel_logs ORDER BY rand64(1)",
    "SELECT x, y FROM otel_logs ARRAY JOIN range(100000) AS x ARRAY JOIN range(100000) AS y",
    "SELECT arraySum(y -> arrayCount(x -> has(range(100000), x), range(100000)), range(4))",
    "SELECT sum(hasAll(arrayMap(x -> x + n, range(1000)), arrayMap(x -> x + n + 1, range(1000)))) FROM "
    "(SELECT arrayJoin(range(20000)) AS n)",
    "SELECT arrayFlatten(arrayMap(x -> arrayMap(y -> range(1000), range(1000)), range(1000)))",
    "SELECT length(replaceAll(repeat('a', 10000), 'a', repeat('b', 10000)))",
    f"SELECT groupConcat(repeat('x', 10000))(toString(n)) FROM ({_ROWS})",
    f"SELECT uniqExactForEach(arrayMap(x -> x + n, range(10000))) FROM ({_ROWS})",
    f"SELECT quantileTDigestForEach(range(100000)), topK(65536)(n), groupArraySorted(1000000)(n) FROM ({_ROWS})",
    "WITH repeat('x', 10000) AS a, concat(a, a, a, a, a, a, a, a) AS b, concat(b, b, b, b, b, b, b, b) AS c, "
    "concat(c, c, c, c, c, c, c, c) AS d, concat(d, d, d, d, d, d, d, d) AS e SELECT length(concat(e, e, e, e))",
    "SELECT * FROM (" + " UNION ALL ".join(["SELECT * FROM otel_logs"] * 100) + ") ORDER BY Body",
    "SELECT count() FROM otel_logs WHERE " + " OR ".join(f"match(Body, '(x.*){{20}}{n}')" for n in range(300)),
    "SELECT sum(multiMatchAny(Body, arrayMap(x -> concat(Body, toString(x)), range(100)))) FROM otel_logs",
    "SELECT sum(multiSearchFirstPosition(Body, arrayMap(x -> concat(Body, toString(x)), range(250)))) FROM otel_logs",
    "SELECT sum(multiSearchAny(Body, ['" + "', '".join("ab" * 12 for _ in range(17)) + "'])) FROM otel_logs",
    "SELECT count() FROM otel_logs WHERE Body IN (SELECT Body FROM otel_logs WHERE SpanId IN (SELECT SpanId FROM "
    "otel_logs))",
)  # fmt: skip


def statements(client: HttpClient, count: int) -> list[tuple[str, bool]]:
    """What to send, and whether it names something forbidden and so must be refused."""
    draw = random.Random(14)
    forbidden = [place.replace("{}", each) for place in grammar.EXPRESSIONS for each in grammar.FORBIDDEN_DATA]
    forbidden += [place.replace("{}", each) for place in grammar.SOURCES for each in grammar.FORBIDDEN_SOURCES]
    # Parameters that nobody binds are an error of ClickHouse's parser.
    forbidden += [each for each in grammar.BYPASSES if "{a:" not in each]
    running_ones = [*_HEAVY, *(each for depth in (50, 250, 900) for each in grammar.nested(depth))]
    running_ones = draw.sample(running_ones, min(len(running_ones), count * 2 // 3))
    known = client.query("SELECT name FROM system.functions WHERE alias_to = '' ORDER BY name").result_rows
    names = [str(name) for (name,) in known if functions.is_allowed(str(name))]
    wanted = max(0, count * 2 // 3 - len(running_ones))
    running_ones += itertools.islice(_calls(client, draw.sample(names, len(names))), wanted)
    chosen = [(each, False) for each in running_ones]
    chosen += [(each, True) for each in draw.sample(forbidden, count - len(chosen))]
    draw.shuffle(chosen)
    return chosen


class Meanwhile:
    """Everybody else: clients that search, insert and ask for /healthz, until the block ends."""

    def __init__(self, door: httpx.Client, client: HttpClient, rows: int) -> None:
        self.door, self.client, self.inserted = door, client, rows
        self.milliseconds: dict[str, list[float]] = {"search": [], "insert": [], "/healthz": []}
        self.failures: list[str] = []
        self._stop = threading.Event()

    def _search(self) -> None:
        now = time.time_ns()
        query = random.choice(("level>=error", f"service:{random.choice(query_data.SERVICES)}", "timeout", "GET /api*"))
        parameters = {"query": query, "from": str((now - 86_400 * 10**9) // 10**9), "to": str(now // 10**9)}
        self.door.get("/v1/search", params=parameters).raise_for_status()

    def _insert(self) -> None:
        query_data.insert(self.client, self.inserted, 2_000, time.time_ns(), 1)
        self.inserted += 2_000

    def _healthy(self) -> None:
        self.door.get("/healthz").raise_for_status()

    def _repeat(self, name: str, work: Callable[[], None], pause: float) -> None:
        while not self._stop.wait(pause):
            began = time.perf_counter()
            try:
                work()
            except (httpx.HTTPError, clickhouse.ClickHouseError) as error:
                self.failures.append(f"{name}: {error}")
            self.milliseconds[name].append((time.perf_counter() - began) * 1000)

    @contextlib.contextmanager
    def going_on(self) -> Iterator[None]:
        """Run them for the time of the block."""
        self._stop.clear()
        works = (("search", self._search, 0.1), ("insert", self._insert, 0.25), ("/healthz", self._healthy, 0.05))
        with ThreadPoolExecutor(len(works)) as pool:
            repeated = [pool.submit(self._repeat, *each) for each in works]
            try:
                yield
            finally:
                self._stop.set()
        for each in repeated:
            each.result()


@dataclass
class Attack:
    """What became of the statements, and which went on past their deadline."""

    ends: Counter[str] = field(default_factory=Counter)
    past_the_guard: list[str] = field(default_factory=list)
    late: dict[str, tuple[float, str]] = field(default_factory=dict)


def attack(url: str, client: HttpClient, chosen: list[tuple[str, bool]], clients: int) -> Attack:
    """Send all statements; returns when the last is answered and none runs any more.

    The senders are a process of lowest priority: in truth they are on other machines, and take nothing from the others.
    """
    with ProcessPoolExecutor(1, get_context("spawn"), os.nice, (19,)) as elsewhere:
        sent = elsewhere.submit(_send_all, url, chosen, clients)
        late: dict[str, tuple[float, str]] = {}
        sql = (
            "SELECT query_id, elapsed, query FROM system.processes WHERE Settings['os_threads_nice_value_query'] = '19'"
        )
        while (rows := client.query(sql).result_rows) or not sent.done():
            for query_id, seconds, text in rows:
                if seconds > DEADLINE_SECONDS + 1:
                    late[str(query_id)] = float(seconds), str(text)
            time.sleep(0.5)
        return Attack(*sent.result(), late)


def _send_all(url: str, chosen: list[tuple[str, bool]], clients: int) -> tuple[Counter[str], list[str]]:
    ends: Counter[str] = Counter()
    past_the_guard: list[str] = []
    with httpx.Client(base_url=url, timeout=300, trust_env=False) as door, ThreadPoolExecutor(clients) as pool:
        answers = pool.map(lambda each: _send(door, each[0], ends), chosen)
        for number, ((text, forbidden), (code, answer)) in enumerate(zip(chosen, answers, strict=True), 1):
            say(f"{number} statements answered", end="\r")
            if CANARY in answer or (forbidden and code not in ("sql_not_allowed", "sql_syntax")):
                past_the_guard.append(f"{text}: {answer[:300]}")
    return ends, past_the_guard


def _send(door: httpx.Client, text: str, ends: Counter[str]) -> tuple[str, str]:
    """The code of a statement's answer, and its text."""
    while True:
        response = door.post("/v1/sql", json={"sql": text})
        if response.status_code != 503 or "clickhouse_timeout" in response.text:
            break
        ends["asked to come back (503)"] += 1
        time.sleep(0.2)
    code = "answered" if response.status_code == 200 else response.json()["error"]["code"]
    ends[f"{code} ({response.status_code})"] += 1
    return code, response.text


def report(idle: Meanwhile, attacked: Meanwhile, attack: Attack, sent: int) -> bool:
    """Print what happened; whether all promises were kept."""
    say(f"\n{sent} statements: " + ", ".join(f"{count} {end}" for end, count in attack.ends.most_common()))
    say(f"past the guard: {len(attack.past_the_guard)}")
    for each in attack.past_the_guard:
        say(f"  {each}")
    say(f"ended more than 1 s after their deadline of {DEADLINE_SECONDS:.0f} s: {len(attack.late)}")
    for seconds, text in sorted(attack.late.values(), reverse=True):
        say(f"  {seconds:5.1f} s  {text[:150]}")
    say(f"\n{'milliseconds':<12}{'idle P50':>12}{'P95':>9}{'attacked P50':>15}{'P95':>9}{'max':>9}{'P95 ratio':>12}")
    failures = [*idle.failures, *attacked.failures]
    for each in failures:
        say(f"failed: {each}")
    kept = not attack.past_the_guard and not failures
    for name, before in idle.milliseconds.items():
        during = attacked.milliseconds[name]
        ratio = percentile(during, 0.95) / percentile(before, 0.95)
        good = max(during) < 100 if name == "/healthz" else ratio <= 1.5
        kept &= good
        say(
            f"{name:<12}{percentile(before, 0.5):12.1f}{percentile(before, 0.95):9.1f}{percentile(during, 0.5):15.1f}"
            f"{percentile(during, 0.95):9.1f}{max(during):9.1f}{ratio:12.2f}  {'' if good else 'FAILED'}"
        )
    return kept


def run(arguments: argparse.Namespace, directory: Path) -> bool:
    """The whole measurement; whether all promises were kept."""
    limits = {"LOGBROOK_QUERY_SQL_TIMEOUT_SECONDS": str(DEADLINE_SECONDS)}
    with server(directory, "bench") as (settings, reader):
        client = clickhouse.connect(settings)
        client.command(
            "CREATE TABLE secret ENGINE = Memory AS SELECT {canary:String} AS a", parameters={"canary": CANARY}
        )
        step = 86_400 * 10**9 / arguments.rows
        query_data.insert(client, 0, arguments.rows, time.time_ns() - 86_400 * 10**9, step)
        chosen = statements(client, arguments.statements)
        say(f"{len(chosen)} statements; measuring {arguments.idle_seconds:.0f} s of idle time first")
        with api(reader, limits) as door:
            idle, attacked = (Meanwhile(door, clickhouse.connect(settings), arguments.rows * part) for part in (2, 3))
            with idle.going_on():
                time.sleep(arguments.idle_seconds)
            began = time.monotonic()
            with attacked.going_on():
                ends = attack(str(door.base_url), clickhouse.connect(settings), chosen, _CLIENTS)
            say(f"attacked for {time.monotonic() - began:.0f} s")
            with idle.going_on():
                time.sleep(arguments.idle_seconds)
        return report(idle, attacked, ends, len(chosen))


def main() -> None:
    """Parse the command line and run."""
    # Functions are tried until one form of arguments fits.
    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--statements", type=int, default=500, help="how many hostile statements")
    parser.add_argument("--rows", type=int, default=1_000_000, help="events in the table")
    parser.add_argument("--idle-seconds", type=float, default=30, help="how long to measure before and after")
    with tempfile.TemporaryDirectory(prefix="bench-hostile-", ignore_cleanup_errors=True) as directory:
        sys.exit(0 if run(parser.parse_args(), Path(directory)) else 1)


if __name__ == "__main__":
    main()
