"""What people type who know other tools: it finds what they mean, or the answer says how it was read."""

from collections.abc import Iterator

import pytest

from logbrook import clickhouse as connection
from logbrook import config
from tests.components import ClickHouseServer
from tests.query import door
from tests.query.conftest import as_reader
from tests.query.door import Door, event

_ROWS = [
    event(1, "paid", ServiceName="till", LogAttributes={"code": "200", "took_ms": "40", "path": "/shop/cart"}),
    event(2, "declined", ServiceName="till", LogAttributes={"code": "402", "took_ms": "140", "peer": "198.51.100.9"}),
    event(3, "gone", ServiceName="till", LogAttributes={"peer": "not an address", "null": "", "zone key": "a b"}),
    event(4, "x", ServiceName="edge", EventName="Purge", TraceId="ab" * 16, LogAttributes={"agent": "wget/1.2"}),
    event(5, "warned", ServiceName="edge", SeverityNumber=13, SeverityText="WARN", LogAttributes={"логин": "да"}),
    event(6, "订单支付失败 余额不足", ServiceName="pay"),
    event(7, "ОПЛАТА прошла, Überweisung fällig", ServiceName="pay"),
    event(8, "user=mia went", ServiceName="pay", LogAttributes={"http.response.code": "500"}),
    event(10, "answered", ServiceName="gate", LogAttributes={"status": "503"}),
    event(11, "gave up", ServiceName="gate", SeverityNumber=17, SeverityText="ERROR"),
    event(12, "余额:不足", ServiceName="gate"),
    event(9, "deploy 🎉🎉", ServiceName="pay", LogAttributes={"peer": "2001:db8::7"}),
]


@pytest.fixture(scope="module")
def shop(clickhouse: ClickHouseServer, shared_database: config.ClickHouse) -> Iterator[Door]:
    """The service over a few events."""
    client = connection.connect(shared_database)
    client.command("TRUNCATE TABLE otel_logs")
    client.close()
    door.store(shared_database, _ROWS)
    with door.serving(config.Query(), as_reader(clickhouse, shared_database)) as served:
        yield served


@pytest.mark.parametrize(
    ("query", "offsets"),
    [
        ("service:till code!=200", {2}),
        ("code:!=200", {2}),
        ("status>=500", {10}),
        ("status:[400 TO 599]", {10}),
        ("status:503", {10}),
        ("status:fail", {11}),
        ("level:WRN", {5}),
        ("severityText:warn", {5}),
        ("LogAttributes.code:402", {2}),
        ("_exists_:took_ms", {1, 2}),
        ("zone\\ key:*", {3}),
        ("余额:不足", {12}),
        ("service!=till level=info", {4, 6, 7, 8, 9, 10, 12}),
        ("service = edge", {4, 5}),
        ("user=mia", {8}),
        ("took_ms > 100", {2}),
        ("took_ms:[40 TO 140]", {1, 2}),
        ("took_ms:{40 TO *]", {2}),
        ("level:[warn TO fatal]", {5, 11}),
        ("paid || gone", {1, 3}),
        ("service in (paid OR edge:x OR agent:*) -paid", {2, 3, 4, 5}),
        ("traceId in (agent:wget*) OR code  in(gone)", {4}),
        ("-service in (service:(till OR pay OR gate))", {4, 5}),
        ('attr."zone key" in (null:"")', {3}),
        ('"in (" OR "gave up" in (up)', set()),
        ("service:till && paid", {1}),
        ("eventName:Purge", {4}),
        ("event_name:Purge", {4}),
        (f"traceId:{'AB' * 16}", {4}),
        ("ServiceName:edge SeverityText:WARN", {5}),
        ("service_name:edge Level:warn", {5}),
        ("levelname:WARN", {5}),
        ("path:/^\\/shop\\/c.r/", {1}),
        ('peer=~"^198"', {2}),
        ("code:/./ code!~^2", {2}),
        ("body:/pa[a-z]d|g.ne/", {1, 3}),
        ("peer:198.51.100.0/24", {2}),
        ("peer:2001:db8::/32", {9}),
        ("null:*", set()),
        ("логин:да", {5}),
        ("attr.логин:да", {5}),
        ('"zone key":"a b"', {3}),
        ("支付失败", {6}),
        ("余额", {6, 12}),
        ("🎉", {9}),
        ("оплата ПРОШЛА", {7}),
        ("überweisung FÄLLIG", {7}),
    ],
)
def test_it_is_found(shop: Door, query: str, offsets: set[int]) -> None:
    """Operators, names, ranges, networks, patterns, and scripts of other tools and languages mean what they say."""
    assert {each["offset"] for each in shop.search(query)["events"]} == offsets


@pytest.mark.parametrize(
    ("query", "hint"),
    [
        ("paid or gone", "AND, OR, and NOT, in capitals"),
        ('{service="till"}', "service:edge"),
        ('paid {service="till"}', "service:edge"),
        ("/pa.*d/", "body:/pa.*d/"),
        ("[1 TO 5]", "duration_ms:[1 TO 5]"),
        ("code IN 200", "field:(a OR b)"),
        ("code in (200 OR 402)", "field:(a OR b)"),
        ("took in (service:tll)", "has the field `took`; did you mean `attr.took_ms`?"),
        ("took in (service:tll)", "has the service `tll`; did you mean `till`?"),
        ("paid||gone", "blanks around"),
        ("code:(200 402)", "code:(a OR b)"),
        ("path:/shop/", "is a regular expression"),
        ("response.code:500", "did you mean `attr.http.response.code`?"),
        ("tok_ms:>1", "did you mean `attr.took_ms`?"),
        ("Agent:x", "did you mean `attr.agent`?"),
        ("zzzzzz:1", "has the field `zzzzzz`."),
        ("service:TILL", "did you mean `till`?"),
        ("wget", "body only; a value is found by its field: attr.NAME:wget"),
    ],
)
def test_it_is_said_how_it_was_read(shop: Door, query: str, hint: str) -> None:
    """What is read as text, and why nothing was found, is a sentence beside the answer."""
    assert hint in " ".join(shop.search(query)["hints"])


@pytest.mark.parametrize(
    "query", ["paid", "service:till level>=info", '"paid or gone"', "/shop/cart", "-nofield:x", ""]
)
def test_plain_queries_have_no_hints(shop: Door, query: str) -> None:
    """Where nothing is odd and something was found, or a phrase is meant, nothing is said about the syntax."""
    hints = shop.search(query)["hints"]
    assert not [hint for hint in hints if "body only" not in hint]


@pytest.mark.parametrize("pattern", ["(", "(?=a)", "a" * 600])
def test_a_pattern_that_is_none_is_refused(shop: Door, pattern: str) -> None:
    """A regular expression that RE2 does not take, or that is too long, is a clear 400."""
    response = shop.ask("search", query=f"body:/{pattern}/", from_="2025-11-24", to="2025-11-25")

    assert response.status_code == 400
    assert response.json()["error"]["code"] == "query_syntax"
    assert "regular expression" in response.json()["error"]["expected"] + response.json()["error"]["message"]
