"""A few hundred events with everything in them that a filter may trip over, and always the same ones."""

import random

from tests.query.door import event

WORDS = (
    "connection", "Refused", "timeout", "time", "out", "order-17", "order", "17", "user_3", "user-3", "10.0.0.1",
    "über", "ÜBER", "naïve", "日本語", "100%", "a_b", "a%b", "\\", "path\\to", '"quoted"', "it's", "AND", "OR", "NOT",
    "level=error", "k:v", "http://x.example/a?b=c", "x=5", "->", "[main]", "(brackets)", "tab\tbed", "new\nline", "",
    "🚀", "e\u0301", "\u202e", "zero0", "0", "-1", "*", "?", "caf\u00e9", "ERROR", "error:", "aaaa", "aaaaa",
    *(IDS := ("5621f130208a1fd0", "A1B2C3D4E5", "550e8400-e29b-41d4-a716-446655440000", "über12345678", "abcdef1gh")),
)  # fmt: skip
KEYS = ("code", "net", "user.id", "odd key", "a=b", "a", "empty", "k8s.pod.name", "über", 'q"uote', "x/y", "_")
VALUES = (
    "10.1.2.3", "203.0.113.77", "203.0.114.1", "2001:db8::ff00:42:8329", "::1",
    "200", "500", "5e2", "404.5", "-3", "", "user-3", "user-33", "b=c", "c", "nan", "inf", "0x10", " 7", "7 ", "ÜBER",
    "a%", "a_", "x\\y", '"', "true", "+5", ".5", "1_000", "web-1", "web-12", *IDS,
)  # fmt: skip
SERVICES = ("checkout", "cart", "auth", "my service", "", "Checkout", "web-1")
_SEVERITIES = (0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24)


def _attributes(chance: random.Random) -> dict[str, str]:
    return {key: chance.choice(VALUES) for key in chance.sample(KEYS, chance.randrange(5))}


def _made(offset: int, chance: random.Random) -> dict[str, object]:
    trace = f"{chance.randrange(6):032x}"
    return event(
        offset,
        " ".join(chance.choice(WORDS) for _ in range(chance.randrange(7))),
        ServiceName=chance.choice(SERVICES),
        SeverityNumber=(severity := chance.choice(_SEVERITIES)),
        SeverityText=chance.choice(("", "INFO", "warning", str(severity))),
        TraceId=chance.choice(("", trace)),
        SpanId=chance.choice(("", trace[:16])),
        TraceFlags=chance.randrange(2),
        EventName=chance.choice(("", "startup", "a b")),
        ScopeName=chance.choice(("", "lib")),
        Source=chance.choice(("", "web")),
        ParseError=chance.choice(("", "", "broken JSON")),
        LogAttributes=_attributes(chance),
        ResourceAttributes=_attributes(chance),
        ScopeAttributes=_attributes(chance),
    )


_chance = random.Random(20)
EVENTS = [_made(offset, _chance) for offset in range(400)]
