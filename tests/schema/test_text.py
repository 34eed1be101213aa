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
    error: str = ""


NOON = "2024-05-06 12:00:00.000000000"
MILLIS = "2024-05-06 12:00:00.123000000"

BAD = "unusable timestamp"

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
    Case("2024-05-06T12:00:00+0000 host shop[12]: hello", NOON, 0, "shop"),
    # Containers and databases
    Case("2024-05-06T12:00:00.123456789Z stdout F hello", "2024-05-06 12:00:00.123456789"),
    Case("2024-05-06 12:00:00.123 UTC [123] ERROR:  relation \"x\" does not exist", MILLIS, 17),
    Case("2024-05-06T12:00:00.123456Z 0 [Warning] [MY-010068] CA certificate", "2024-05-06 12:00:00.123456000", 13),
    Case("2024.05.06 12:00:00.123456 [ 12 ] {} <Error> Application: Code: 60", "2024-05-06 12:00:00.123456000", 17),
    Case("1:M 06 May 2024 12:00:00.123 * Ready to accept connections tcp", MILLIS, 10),
    Case("1:M 06 May 2024 12:00:00.123 # Short write", MILLIS, 13),
    # A time without a date is of the day of arrival, or of the day before if that were half a day ahead.
    Case("11:00:00.123 [main] INFO  com.shop.Cart - started", "2025-03-01 11:00:00.123000000", 9),
    Case("[11:00:00,123] WARN low", "2025-03-01 11:00:00.123000000", 13),
    Case("12:05:00.000 [main] ERROR com.shop.Cart - a little ahead", "2025-03-01 12:05:00.000000000", 17),
    Case("13:00:00.000 [main] ERROR com.shop.Cart - an hour ahead", "2025-02-28 13:00:00.000000000", 17),
    # Zones, clocks of twelve hours, numbers of seconds
    Case("2024-05-06 13:00:00.123 CET [7] ERROR:  relation missing", MILLIS, 17),
    Case("2024-05-06 09:00:00 GMT+3 [7] LOG:  checkpoint", NOON, 9),
    Case("2024-05-06 07:00:00 CDT [7] FATAL:  gone", NOON, 21),
    Case("Mon May 06 2024 14:00:00 GMT+0200 (Central European Summer Time) x", NOON),
    Case("2024-05-06 02:00:00 PM Error: x", "2024-05-06 14:00:00.000000000", 17),
    Case("1714996800.123    157 192.0.2.1 TCP_MISS/200 5 GET http://a.example/", MILLIS),
    Case("[1714996800] SERVICE ALERT: web;HTTP;OK", NOON),
    Case("2 123456789010 eni-1235b8ca 192.0.2.1 192.0.2.2 20641 22 6 20 4249 1714996800 1714996860 ACCEPT OK", NOON),
    Case("2024-05-06\t12:00:00\tFRA2\t2390282\t192.0.2.1\tGET", NOON),
    Case("2024-05-06  1:00:00 0 [Note] InnoDB: ready", "2024-05-06 01:00:00.000000000", 10),
    Case("date=2024-05-06 time=12:00:00 devname=fw level=warning", NOON, 13),
    Case("240506 12:00:00 [Warning] IP address", NOON, 13),
    Case("web-1  | 2024-05-06T12:00:00Z INFO up", NOON, 9),
    Case("<189>45: *May 06 12:00:00.123 UTC: %SYS-5-CONFIG_I: Configured", MILLIS, 10),
    Case("[pid: 1|app: 0|req: 1/1] 192.0.2.1 () {30 vars} [Mon May  6 12:00:00 2024] GET /", NOON),
    Case("2024-05-06 09:00:00 -03 [7] ERROR:  relation missing", NOON, 17),
    Case("2024-05-06 21:00:00 Asia/Tokyo INFO up", NOON, 9),
    Case("[06-May-2024 14:00:00 Europe/Berlin] PHP Notice:  x", ARRIVAL, 10, error=BAD),
    Case("20240506-12:00:00:123|Step_LSC|30002312|onStandStepChanged", MILLIS),
    Case("20240506120000 WARN compact", NOON, 13),
    Case("20240506_120000 WARN compact", NOON, 13),
    Case("Mon 06 May 2024 12:00:00 PM UTC ERROR x", NOON, 17),
    Case("[06May2024 12:00:00.123] [main/INFO] [net.example]: x", MILLIS, 9),
    Case("=ERROR REPORT==== 6-May-2024::12:00:00 ===", NOON, 17),
    Case("2024 May  6 12:00:00 sw1 %ETHPORT-5-IF_UP: up", NOON, 10),
    Case("5/6/24 12:00:00 PM ERROR x", NOON, 17),
    Case("05/06/24 12:00:00 ERROR x", NOON, 17),
    Case("2024-05-06 19:00:00 ICT [7] ERROR:  relation missing", NOON, 17),
    Case("2024-05-06 08:00:00 CLT [7] ERROR:  relation missing", NOON, 17),
    Case("192.0.2.1, -, 05/16/2024, 12:00:00, W3SVC2, WEB, 10.0.0.5", "2024-05-16 12:00:00.000000000"),
    Case("ERROR 05-06 12:00:00 scheduler.py:12] x", "2024-05-06 12:00:00.000000000", 17),
    Case("11:00:00 [main] ERROR c.e.X - y", "2025-03-01 11:00:00.000000000", 17),
    Case("[11:00:00 WRN] slow", "2025-03-01 11:00:00.000000000", 13),
    Case("11:59AM INF starting port=8080", "2025-03-01 11:59:00.000000000", 9),
    Case("1714996800123456 ERROR x", "2024-05-06 12:00:00.123456000", 17),
    Case("1714996800.123|INFO|x", MILLIS, 9),
    Case("- 1714996800 2024.05.06 R02 2024-05-06-05.00.00.3 R02 RAS KERNEL FATAL parity error", NOON, 21),
    Case("- 1714996800 2024.05.06 R37-M1 2024-05-06-05.00.00.3 R37-M1 NULL DISCOVERY WARNING node card", NOON, 13),
    Case("2568643 node-70 action start 1714996800 1 clusterAddMember", NOON),
    Case("node=web1 type=SYSCALL msg=audit(1714996800.123:6): arch=c000003e", MILLIS),
    Case('web.example:443 192.0.2.1 - - [06/May/2024:12:00:00 +0000] "GET / HTTP/1.1" 200 5', NOON),
    Case('79a59df9 bucket [06/May/2024:12:00:00 +0000] 192.0.2.3 - 3E57427F3 REST.GET.VERSIONING - "GET"', NOON),
    Case("192.0.2.1:5000 [06/May/2024:12:00:00.123] http-in srv/web1 0/0/1/2/3 200 12", MILLIS),
    Case("tls 2.0 2024-05-06T12:00:00 net/lb/c6e7 g3d4 192.0.2.1:51341", NOON),
    Case("# Time: 2024-05-06T12:00:00.123456Z\n# User@Host: root[root]", "2024-05-06 12:00:00.123456000"),
    Case("1,2024/05/06 12:00:00,PA01606,TRAFFIC,start", NOON),
    # Brackets and levels before the time
    Case("INFO  [main] 2024-05-06 12:00:00,123 Daemon.java:650 - up", MILLIS, 9),
    Case("[shop] [ERROR] 2024-05-06 12:00:00 x", NOON, 17),
    Case("[7] 2024-05-06 12:00:00.123 WARN x", MILLIS, 13),
    Case("WARN[2024-05-06T12:00:00Z] slow", NOON, 13),
    Case("ERROR - 2024-05-06 12:00:00 --> x", NOON, 17),
    Case("|ERROR|2024-05-06 12:00:00| x", NOON, 17),
    Case("[Nest] 42  - 05/06/2024, 12:00:00 PM     LOG [NestFactory] Starting", NOON, 9),
    Case("192.0.2.1 2024-05-06T12:00:00Z INFO up", NOON, 9),
    Case('level=info msg="a b" ts=2024-05-06T12:00:00Z', NOON, 9),
    # Levels behind other words
    Case("2024-05-06 12:00:00 CET [7]: [3-1] user=app,db=shop ERROR:  deadlock", "2024-05-06 11:00:00.000000000", 17),
    Case("2024-05-06 12:00:00 UTC:10.0.0.5(41):app@shop:[23]:ERROR:  duplicate", NOON, 17),
    Case("May 06, 2024 12:00:00 PM org.example.Main run\nSEVERE: gone", NOON, 17),
    Case("2024-05-06T12:00:00Z WRN slow", NOON, 13),
    Case("2024-05-06T12:00:00Z I! [outputs.file] ready", NOON, 9),
    Case("2024-05-06T12:00:00.123Z ##[error]Process completed", MILLIS, 17),
    Case("2024-05-06 12:00:00.123 | SUCCESS  | app:run:12 - done", MILLIS, 9),
    Case("2024-05-06 12:00:00,ERROR,x", NOON, 17),
    Case('"2024-05-06 12:00:00","ERROR","x"', NOON, 17),
    Case("2024-05-06 12:00:00 Shop::Cart: ERROR: x", NOON, 17),
    Case("2024-05-06 12:00:00 trace_id=ab span_id=cd ERROR x", NOON, 17),
    Case("2024-05-06 12:00:00.123 E/Shop( 7): x", MILLIS, 17),
    Case("2024-05-06 12:00:00 PHP Parse error:  x", NOON, 17),
    Case('2024-05-06T12:00:00.123Z stderr F {"level":"error","msg":"x"}', MILLIS, 17),
    Case("2024-05-06T12:00:00.123Z stderr F E0506 12:00:00.123456 7 a.go:1] x", MILLIS, 17),
    Case("2024-05-06T12:00:00.123Z stderr F 2024-05-06 12:00:00,120 [main] ERROR c.e.Shop - x", MILLIS, 17),
    Case("2024-05-06T12:00:00.123Z stderr F 2024-05-06 12:00:00.120 UTC [7] FATAL:  x", MILLIS, 21),
    Case("2024-05-06T12:00:00.123Z stdout F [12:00:00 WRN] slow", MILLIS, 13),
    Case("2024-05-06T12:00:00.123Z stderr F [2024-05-06 12:00:00 +0000] [8] [ERROR] x", MILLIS, 17),
    Case("2024-05-06T12:00:00.123Z 2024-05-06 12:00:00,120 - shop - ERROR - x", MILLIS, 17),
    Case("2024-05-06 12:00:00 WARN(main): x", NOON, 13),
    Case("2024-05-06 12:00:00 {ERROR} x", NOON, 17),
    Case("%LINK-3-UPDOWN: Interface down", severity=17),
    Case("2024-05-06 12:00:00 Error - gone", NOON, 17),
    Case("npm ERR! code", severity=17),
    Case("error[E0308]: mismatched types", severity=17),
    Case("INFO[0000] starting", severity=9),
    Case("2024-05-06 12:00:00,123 shop.orders  ERROR    gone", MILLIS, 17),
    Case("[2024-05-06 12:00:00,123: ERROR/MainProcess] Task raised", MILLIS, 17),
    Case("[2024-05-06 12:00:00] production.ERROR: gone", NOON, 17),
    Case("E, [2024-05-06T12:00:00.123 #7] ERROR -- : gone", MILLIS, 17),
    Case("2024-05-06T12:00:00.123Z stderr F ERROR gone", MILLIS, 17),
    Case("2024-05-06 12:00:00 UTC [7] shop@orders FATAL:  gone", NOON, 21),
    Case("[2024-05-06 12:00:00.123][ INFO][10][runner] up", MILLIS, 9),
    Case("2024-05-06 12:00:00.123+0000 [id=7]\tWARNING\th.Finder#scout: slow", MILLIS, 13),
    Case("2024-05-06 12:00:00,123 fail2ban.actions        [913]: NOTICE  [sshd] Ban 192.0.2.1", MILLIS, 10),
    Case("2024-05-06 12:00:00, Info                  CBS    Loaded", NOON, 9),
    Case("2024-05-06T12:00:00.123Z info vpxd[7F00] [Originator@6876] up", MILLIS, 9),
    Case("2024-05-06 12:00:00.123 +00:00 [WRN] low", MILLIS, 13),
    Case("2024-05-06T12:00:00.123+0000 E NETWORK  [conn1] gone", MILLIS, 17),
    Case("fail: Shop.Orders[0]", severity=17),
    Case("[06-May-2024 12:00:00 UTC] PHP Warning:  undefined index", NOON, 13),
    Case("2024-05-06 12:00:00 INFO alert fired severity=critical", NOON, 9),
    Case("2024-05-06 12:00:00 set log level=debug for root", NOON),
    # Programs
    Case("May  6 12:00:00 combo sshd(pam_unix)[19939]: failure", NOON, 0, "sshd"),
    Case("May  6 12:00:00 mac com.apple.launchd[1] (com.a.b[12]): exited", NOON, 0, "com.apple.launchd"),
    Case("May  6 12:00:00 combo syslogd 1.4.1: restart.", NOON, 0, "syslogd"),
    Case("May  6 12:00:00 mac BezelServices 255.10[94]: asserted", NOON, 0, "BezelServices"),
    Case("2024-05-06T12:00:00.123+00:00 app[web.1]: Listening", MILLIS, 0, "app"),
    Case("<14>2024-05-06T12:00:00Z web1 shop[7]: x", NOON, 9, "shop"),
    Case("<34>May  6 12:00:00 shop[7]: x", NOON, 21, "shop"),
    Case("2024-05-06T14:00:00.123000+02:00 web1 kernel: [ 7.1] x", MILLIS, 0, "kernel"),
    Case("2024-05-06T12:00:00.123000+00:00 web1 sudo:     root : TTY=pts/0", MILLIS, 0, "sudo"),
    Case("2024-05-06T12:00:00.123000+00:00 cart error: gone", MILLIS),
    # Words in prose, numbers and dates elsewhere mean nothing.
    Case("an ERROR occurred in the INFO desk"),
    Case("errors were found"),
    Case("Information is power"),
    Case("the meeting is on 2024-05-06 12:00:00 in room 4"),
    Case("2024-05-06 12:00:00 the error was an INFO about a WARN", NOON),
    Case("2024-05-06 12:00:00 error handling was improved", NOON),
    Case("12345"),
    Case("2024-99-99 99:99:99 INFO x", severity=9, error=BAD),
    Case("2024-05-06 25:00:00 INFO x", severity=9, error=BAD),
    Case("2024-05-06 12:00:00 BST [7] ERROR: x", severity=17, error=BAD),
    Case("1970-01-01 00:00:00 INFO x", severity=9, error=BAD),
    # Nor does a date that is not in the place of the event's time.
    Case("expires=2030-01-01T00:00:00Z token renewed"),
    Case("renewed 2030-01-01 00:00:00 is the new expiry"),
    Case("Restored 2019-03-04 05:06:07 snapshot"),
    Case("log 2019-03-04 05:06:07 rotated"),
    Case("fine 2019-03-04 05:06:07 was the last"),
    Case("web01: 2019-03-04 05:06:07 was the last backup"),
    Case("id=1714996800 done"),
    Case("2024-05-06 12:00:00 an Error: was shown", NOON),
    Case("2024-05-06 12:00:00 I/O is slow, E mail, F sharp", NOON),
    Case("2024-00-06 12:00:00 INFO x", severity=9, error=BAD),
    Case("2030-01-01 00:00:00 a clock far ahead", error=BAD),
    # A stamp without a year is of the year of arrival, or of the year before if that were in the future.
    Case("Mar  1 11:00:00 host a: x", "2025-03-01 11:00:00.000000000", 0, "a"),
    Case("Mar  2 11:00:00 host a: x", ARRIVAL, 0, "a", BAD),
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
    assert (row["ParseError"], row["LogAttributes"]) == (case.error, {})


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


def test_a_line_without_a_time_has_that_of_the_line_before(store: Store) -> None:
    """In lines of one file or request; a program's own events without a time have that of their arrival."""
    lines = [
        b'{"service":"a","body":"%s"}' % text for text in (b"up", b"2024-05-06 12:00:00 WARN x", b"  more", b"ERROR y")
    ]
    own = b'{"msg":"2024-05-06 12:00:00 WARN x"}\n{"msg":"y"}'
    [rows, [_, other]] = store([b"\n".join(lines), own])
    assert [row["Timestamp"] for row in rows] == [ARRIVAL, NOON, NOON, NOON]
    assert [row["SeverityNumber"] for row in rows] == [0, 13, 0, 17]
    assert other["Timestamp"] == ARRIVAL


def test_colors_do_not_hide_time_and_level(store: Store) -> None:
    """What a terminal takes for colors is not part of the text; the original is kept."""
    line = b"2024-05-06T12:00:00.123Z  \x1b[35mDEBUG\x1b[0m  reader.go:3468 SELECT 1"
    [[row]] = store([line])
    assert (row["Timestamp"], row["SeverityNumber"]) == (MILLIS, 5)
    assert row["Body"] == b"2024-05-06T12:00:00.123Z  DEBUG  reader.go:3468 SELECT 1"
    assert row["LogAttributes"] == {"log.record.original": line.decode()}


@pytest.mark.parametrize("padding", [b"\0" * 64, b"\xef\xbb\xbf"])
def test_what_stands_before_a_file_does_not_hide_its_time(store: Store, padding: bytes) -> None:
    """Zeros of a file that was cut while it was written, and a byte order mark."""
    [[row]] = store([padding + b"2024-05-06 12:00:00 ERROR first"])
    assert (row["Timestamp"], row["SeverityNumber"]) == (NOON, 17)
