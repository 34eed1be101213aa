"""Whatever is typed gives a clear 400, or exactly the events that the plain evaluation of the same filter gives."""

import asyncio

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from logbrook import config
from logbrook.query import filters
from logbrook.query.engine import Engine, Statement
from logbrook.query.language import parse, split
from tests.query.corpus import EVENTS, KEYS, SERVICES, VALUES, WORDS
from tests.query.door import Door
from tests.query.evaluator import Rows, matches

PATIENT = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


def expected(query: str, seen: str = "") -> set[int]:
    """The offsets of the events that match, by the evaluator, if there are only those that match `seen`."""
    (node, _), role = split(query), parse(seen)
    rows = Rows(row for row in EVENTS if matches(role, row))
    return {int(str(row["KafkaOffset"])) for row in rows if matches(node, row, rows)}


def found(corpus: Door, query: str) -> set[int]:
    """The offsets of the events that the service finds."""
    answer = corpus.search(query, limit=1000)
    assert answer["cursor"] is None
    return {event["offset"] for event in answer["events"]}


def quoted(text: str) -> str:
    """A text as a phrase."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


_text = st.one_of(st.sampled_from(WORDS), st.sampled_from(VALUES))
_word = st.sampled_from(
    [word for word in WORDS if word.isalnum() and word.isascii() and word not in ("AND", "OR", "NOT")]
)
_glob = st.builds(
    lambda word, at, wild: word[: at % (len(word) + 1)] + wild + word[at % (len(word) + 1) + 1 :],
    _word, st.integers(0, 9), st.sampled_from(["*", "?", "*?", "-*"]),
)  # fmt: skip
_key = st.sampled_from(KEYS).flatmap(
    lambda key: st.sampled_from([f"{place}.{quoted(key)}" for place in ("attr", "resource", "scope")])
)
_anywhere = st.sampled_from(["code", "user.id", "k8s.pod.name", "a", "empty", "missing"])
_column = st.sampled_from(["service", "trace_id", "span", "event", "scope", "source", "severity_text", "parse_error"])
_number = st.sampled_from(["200", "500", "-3", "404.5", "7", "0", "1e3"])
_term = st.one_of(
    _word,
    _glob,
    _text.map(quoted),
    st.tuples(st.one_of(_key, _anywhere, _column), _text).map(lambda pair: f"{pair[0]}:{quoted(pair[1])}"),
    st.tuples(_column, st.sampled_from(SERVICES)).map(lambda pair: f"{pair[0]}:{quoted(pair[1])}"),
    st.tuples(st.one_of(_key, _anywhere, _column), _glob).map(lambda pair: f"{pair[0]}:{pair[1]}"),
    st.one_of(_key, _anywhere, _column).map(lambda name: f"{name}:*"),
    st.tuples(st.one_of(_key, _anywhere, _column), st.sampled_from(["!=", "=", " = ", ":!="]), _word).map("".join),
    st.tuples(
        st.one_of(_key, _anywhere), st.sampled_from([":[200 TO 500]", ":{-3 TO *]", ":{200 TO 500}"])
    ).map("".join),
    st.tuples(st.one_of(_key, _column, _anywhere), st.sampled_from(["user-.$", "^[a-w ]+$", "5|0", "\\\\"])).map(
        lambda pair: f"{pair[0]}:/{pair[1]}/"
    ),
    st.sampled_from([f"attr.net:{each}" for each in ("10.0.0.0/8", "203.0.113.7/24", "2001:db8::/32", "0.0.0.0/0")]),
    st.sampled_from(["überschuss", "über", "Naïve", "NAÏVE", "本", "日本語", "\U0001f680", "ÜB*", "body:/[Üü]B/"]),
    st.tuples(st.one_of(_key, _anywhere), st.sampled_from([":>=", ":>", "<", "<=", ":="]), _number).map("".join),
    st.tuples(
        st.sampled_from(["offset", "partition", "trace_flags"]), st.sampled_from([">", "<=", ":"]),
        st.sampled_from(["0", "1", "77"]),
    ).map("".join),
    st.tuples(
        st.sampled_from(["level>=", "level:", "level<", "severity>", "level<="]),
        st.sampled_from(["none", "debug", "warn", "error", "17", "fatal"]),
    ).map("".join),
)  # fmt: skip
FILTERS = st.recursive(
    _term,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda pair: f"{pair[0]} {pair[1]}"),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]} OR {pair[1]})"),
        inner.map(lambda part: f"-({part})"),
        inner.map(lambda part: f"NOT ({part})"),
    ),
    max_leaves=5,
)
_in = st.builds(
    "{}{} in ({}){}{}".format,
    st.sampled_from(["", "-", "NOT "]), st.one_of(_key, _anywhere, _column, st.just("partition")), FILTERS,
    st.sampled_from([" ", " OR "]), FILTERS,
)  # fmt: skip
QUERIES = st.one_of(FILTERS, _in)


@PATIENT
@given(query=QUERIES)
def test_queries_find_what_they_mean(corpus: Door, query: str) -> None:
    """A query of any shape finds exactly the events that match it by the plain evaluation."""
    assert found(corpus, query) == expected(query)


@PATIENT
@given(query=QUERIES)
@example("5621f130208a1fd0")
@example("attr.user.id:A1B2C3D4E5")
def test_indexes_change_no_answer(corpus_database: config.ClickHouse, query: str) -> None:
    """A query of any shape counts the same events with the indexes as without, as where a part has none yet."""
    parameters = filters.Parameters()
    sql = f"SELECT count() FROM otel_logs WHERE {filters.condition(parse(query, '1'), parameters)}"

    async def counts() -> list[list[list[int]]]:
        engine = Engine(corpus_database, config.Query(allow_privileged_user=True))
        settings: list[dict[str, int]] = [{}, {"use_skip_indexes": 0}]
        found = [await engine.rows(Statement(sql, parameters.values, each)) for each in settings]
        await engine.close()
        return found

    with_indexes, without = asyncio.run(counts())
    assert with_indexes == without


@PATIENT
@given(text=st.one_of(st.text(max_size=40), st.text(alphabet=' ()"-!:<>=*?\\ANDORT.lev', max_size=24)))
@example('"')
@example("a" * 5000)
@example("((((((((((((((((((((((((((((((a")
@example("-" * 50)
@example("level>=")
@example("service:")
@example('attr."":x')
@example("\\")
@example("''; DROP TABLE otel_logs --")
@example("{p0:String}")
@example("|")
def test_any_text_is_refused_clearly_or_answered_rightly(corpus: Door, text: str) -> None:
    """Any text is answered 400 with a place and what was expected there, or with the right events."""
    response = corpus.ask("search", query=text, from_="2025-11-24T00:00:00Z", to="2025-11-25T00:00:00Z", limit=1000)
    if response.status_code == 400:
        error = response.json()["error"]
        assert error["code"] == "query_syntax"
        assert error["message"]
        assert error["expected"]
        # Whether a regular expression is one, ClickHouse says.
        assert 0 <= error.get("position", 0) <= max(len(text), 4096)
    else:
        assert response.status_code == 200, response.text
        assert {event["offset"] for event in response.json()["events"]} == expected(text)


@pytest.mark.parametrize("word", [word for word in WORDS if word])
def test_every_text_is_found_as_a_phrase(corpus: Door, word: str) -> None:
    """Each odd piece of text in the corpus is found when it is typed as a phrase."""
    assert found(corpus, quoted(word)) == expected(quoted(word))
    assert found(corpus, quoted(word))


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("value", ["b=c", "c", "", "500", 'x"y', "a%", "user-3", "A1B2C3D4E5"])
def test_attributes_are_told_apart(corpus: Door, key: str, value: str) -> None:
    """An attribute and its value are found exactly, also where another pair reads the same with an = between."""
    for place in ("attr", "resource", "scope"):
        query = f"{place}.{quoted(key)}:{quoted(value)}"
        assert found(corpus, query) == expected(query)


def test_wildcards_are_bounded(corpus: Door) -> None:
    """A hundred wildcards are answered; one more is a clear 400: thousands keep ClickHouse busy past every deadline."""
    assert corpus.ask("search", query="order " + "?*" * 50).status_code == 200

    refused = corpus.ask("search", query="order " + "?*" * 50 + "?")

    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "query_syntax")
    assert refused.json()["error"]["position"] == 106
    assert "100" in refused.json()["error"]["message"]


def test_the_longest_query_is_answered(corpus: Door) -> None:
    """Whatever its letters take in UTF-8: it does not have to fit into a URL on its way to ClickHouse."""
    assert corpus.search("😀" * 4000)["events"] == []
