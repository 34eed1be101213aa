"""What is read from plain text: time, level and program in the usual places of the common formats."""

from dataclasses import dataclass

import pytest

from tests.schema.conftest import ARRIVAL, ARRIVAL_MS, Row, Store


@dataclass(frozen=True)
class Case:
    """A line, and the time, the severity number and the program that it must lead to."""

    line: str
    time: str = ARRIVAL
    severity: int = 0
    service: str = ""


NOON = "2024-05-06 12:00:00.000000000"
MILLIS = "2024-05-06 12:00:00.123000000"

CASES = [
    # The formats of the LogHub collection, with contents of our own.
    Case("05-06 12:00:00.123  1702  2395 D WindowManager: opening token", MILLIS, 5),
    Case("05-06 12:00:00.123  1702 12395 V Zygote: preload", MILLIS, 1),
    Case("05-06 12:00:00.123  1702  2395 E AndroidRuntime: FATAL EXCEPTION: main", MILLIS, 17),
    Case("[Mon May 06 12:00:00 2024] [notice] workerEnv.init() ok /etc/httpd/conf", NOON, 10),
    Case("[Mon May 06 12:00:00 2024] [error] mod_jk child workerEnv in error state 6", NOON, 17),
    Case("[Mon May  6 12:00:00.123 2024] [core:warn] [pid 12:tid 34] AH00098: pid file", MILLIS, 13),
    Case("2024-05-06 12:00:00,123 INFO [main] org.apache.hadoop.MRAppMaster: Created", MILLIS, 9),
    Case("2024-05-06 12:00:00,123 WARN [LeaseRenewer:x@y:9000] org.apache.hadoop.ipc.Client: Address", MILLIS, 13),
    Case(
        "nova-api.log.1.2017-05-16_13:53:08 2024-05-06 12:00:00.123 25746 INFO nova.wsgi [req-1 2 - - -] GET", MILLIS, 9
    ),
    Case("24/05/06 12:00:00 INFO executor.Backend: Registered signal handlers", NOON, 9),
    Case("24/05/06 12:00:00 ERROR storage.BlockManager: failed", NOON, 17),
    Case("2024-05-06 12:00:00,123 - INFO  [QuorumPeer[myid=1]/0:0:0:0:2181:Fast@774] - time out: 3200", MILLIS, 9),
    Case("2024-05-06 12:00:00,123 - WARN  [SendWorker:188978561024:Quorum$SendWorker@688] - leaving", MILLIS, 13),
    # Java, Python, Go, Node, Rust
    Case("[2024-05-06 12:00:00,123] INFO Kafka version: 3.9.1 (org.apache.kafka.Parser)", MILLIS, 9),
    Case("[2024-05-06 12:00:00,123] ERROR [Broker id=1] Error while fetching", MILLIS, 17),
    Case("[2024-05-06T12:00:00,123][WARN ][o.e.n.Node] [node-1] version", MILLIS, 13),
    Case("2024-05-06 12:00:00.123  INFO 1234 --- [main] com.shop.Cart : Started", MILLIS, 9),
    Case("2024-05-06T12:00:00.123Z ERROR 1 --- [shop] [nio-8080-exec-1] c.s.Cart : failed", MILLIS, 17),
    Case("2024-05-06 12:00:00.123 [main] DEBUG com.shop.Cart - adding", MILLIS, 5),
    Case("2024-05-06 12:00:00,123 - shop.cart - WARNING - low on stock", MILLIS, 13),
    Case("2024-05-06 12:00:00,123 [CRITICAL] shop: gone", MILLIS, 21),
    Case("2024/05/06 12:00:00 started", NOON),
    Case("2024-05-06T12:00:00.123Z\tinfo\tcart/main.go:12\tstarted", MILLIS, 9),
    Case("2024-05-06T12:00:00.123Z info: started", MILLIS, 9),
    Case("[2024-05-06T12:00:00Z INFO  shop::cart] started", NOON, 9),
    Case("INFO 2024-05-06 12:00:00,123 basehttp 1234 GET /", MILLIS, 9),
    Case("[INFO] 2024-05-06 12:00:00.123 started", MILLIS, 9),
    Case("ERROR:shop.cart:gone", severity=17),
    Case("WARNING:root:low", severity=13),
    Case("INFO:     127.0.0.1:5000 - \"GET / HTTP/1.1\" 200 OK", severity=9),
    Case("[WARN] low on stock", severity=13),
    Case("error: no such file", severity=17),
    Case("Error: Cannot find module 'x'\n    at Module._load", severity=17),
    Case("FATAL the end", severity=21),
    Case("I0506 12:00:00.123456   12345 server.go:12] started", "2024-05-06 12:00:00.123456000", 9),
    Case("W0506 12:00:00.123456       1 reflector.go:34] watch ended", "2024-05-06 12:00:00.123456000", 13),
    Case("E0506 12:00:00.123456       1 run.go:74] failed", "2024-05-06 12:00:00.123456000", 17),
    Case("F0506 12:00:00.123456       1 run.go:74] over", "2024-05-06 12:00:00.123456000", 21),
    # logfmt
    Case('time="2024-05-06T12:00:00Z" level=warning msg="low"', NOON, 13),
    Case("time=2024-05-06T12:00:00.123Z level=ERROR msg=gone err=x", MILLIS, 17),
    Case("ts=2024-05-06T12:00:00.123Z caller=main.go:12 level=debug msg=hello", MILLIS, 5),
    Case("level=info ts=2024-05-06T12:00:00.123456789Z caller=x", "2024-05-06 12:00:00.123456789", 9),
    # Web servers
    Case('192.0.2.1 - frank [06/May/2024:14:00:00 +0200] "GET /a HTTP/1.0" 200 2326', NOON),
    Case('2001:db8::1 - - [06/May/2024:12:00:00 +0000] "GET / HTTP/1.1" 500 0 "-" "curl/8"', NOON),
    Case('2024/05/06 12:00:00 [error] 31#31: *1 open() "/x" failed (2: No such file)', NOON, 17),
    Case("2024/05/06 12:00:00 [notice] 1#1: using the \"epoll\" event method", NOON, 10),
    # Syslog
    Case("<34>May  6 12:00:00 mymachine su: 'su root' failed", NOON, 21, "su"),
    Case("<13>May  6 12:00:00 host shop[123]: hello", NOON, 10, "shop"),
    Case("May  6 12:00:00 host systemd[1]: Started x.", NOON, 0, "systemd"),
    Case("May 16 12:00:00 host CRON[99]: (root) CMD (x)", "2024-05-16 12:00:00.000000000", 0, "CRON"),
    Case("<165>1 2024-05-06T12:00:00.123Z host evntslog - ID47 [x@1 a=\"b\"] An event", MILLIS, 10, "evntslog"),
    Case("<11>1 2024-05-06T12:00:00.123+00:00 - - - - - gone", MILLIS, 17),
    Case("2024-05-06T12:00:00+0000 host shop[12]: hello", NOON),
    # Containers and databases
    Case("2024-05-06T12:00:00.123456789Z stdout F hello", "2024-05-06 12:00:00.123456789"),
    Case("2024-05-06 12:00:00.123 UTC [123] ERROR:  relation \"x\" does not exist", MILLIS, 17),
    Case("2024-05-06T12:00:00.123456Z 0 [Warning] [MY-010068] CA certificate", "2024-05-06 12:00:00.123456000", 13),
    Case("2024.05.06 12:00:00.123456 [ 12 ] {} <Error> Application: Code: 60", "2024-05-06 12:00:00.123456000", 17),
    Case("1:M 06 May 2024 12:00:00.123 * Ready to accept connections tcp", MILLIS),
    # A time without a date is of the day of arrival, or of the day before if that were half a day ahead.
    Case("11:00:00.123 [main] INFO  com.shop.Cart - started", "2025-03-01 11:00:00.123000000", 9),
    Case("[11:00:00,123] WARN low", "2025-03-01 11:00:00.123000000", 13),
    Case("13:00:00.000 [main] ERROR com.shop.Cart - ahead by an hour", "2025-03-01 13:00:00.000000000", 17),
    # Words in prose, numbers and dates elsewhere mean nothing.
    Case("an ERROR occurred in the INFO desk"),
    Case("errors were found"),
    Case("Information is power"),
    Case("the meeting is on 2024-05-06 12:00:00 in room 4"),
    Case("2024-05-06 12:00:00 the error was an INFO about a WARN", NOON),
    Case("2024-05-06 12:00:00 error handling was improved", NOON),
    Case("12345"),
    Case("2024-99-99 99:99:99 INFO x", severity=9),
    Case("1970-01-01 00:00:00 INFO x", severity=9),
    # A stamp without a year is of the year of arrival, or of the year before if that were in the future.
    Case("Mar  1 11:00:00 host a: x", "2025-03-01 11:00:00.000000000", 0, "a"),
    Case("Mar  2 11:00:00 host a: x", "2025-03-02 11:00:00.000000000", 0, "a"),
    Case("Mar  3 11:00:00 host a: x", "2024-03-03 11:00:00.000000000", 0, "a"),
    Case("Feb 29 11:00:00 host a: x", "2024-02-29 11:00:00.000000000", 0, "a"),
    Case("Dec 31 23:59:59 host a: x", "2024-12-31 23:59:59.000000000", 0, "a"),
]  # fmt: skip


@pytest.fixture(scope="module")
def outcomes(store: Store) -> dict[str, Row]:
    """The row of every line."""
    return {
        case.line: row
        for case, [row] in zip(CASES, store([case.line.encode() for case in CASES], ARRIVAL_MS), strict=True)
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.line)
def test_text(case: Case, outcomes: dict[str, Row]) -> None:
    """A line keeps its bytes, says its time, level and program, and is no error."""
    row = outcomes[case.line]
    assert (row["Timestamp"], row["SeverityNumber"], row["ServiceName"]) == (case.time, case.severity, case.service)
    assert row["Body"] == case.line.encode()
    assert (row["ParseError"], row["LogAttributes"]) == ("", {})


def test_a_time_without_a_date_may_be_of_yesterday(store: Store) -> None:
    """Five minutes after midnight, a line of just before midnight is of the day before."""
    midnight_ms = ARRIVAL_MS - 12 * 3600 * 1000
    [[row]] = store([b"23:59:59.999 [main] DEBUG com.shop.Cart - late"], midnight_ms + 5 * 60 * 1000)
    assert row["Timestamp"] == "2025-02-28 23:59:59.999000000"


def test_a_line_within_an_event_is_read_as_well(store: Store) -> None:
    """A shipper's event that is a line and no more says its program, too; what the event says itself comes first."""
    line = '"body": "<13>May  6 12:00:00 host shop[123]: hello"'
    [[bare], [named]] = store([f"{{{line}}}".encode(), f'{{{line}, "service": "cart"}}'.encode()])
    assert (bare["ServiceName"], bare["Timestamp"], bare["SeverityNumber"]) == ("shop", NOON, 10)
    assert named["ServiceName"] == "cart"
