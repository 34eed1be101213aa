"""Log files through `logbrook produce --file`: as many rows as lines, each body byte for byte its line, in order."""

import os
import re
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.e2e.pipeline import Pipeline, Position, eventually
from tests.produce.command import environment, finish, run, start

REPOSITORY = Path(__file__).parents[2]
LOGHUB = Path(os.environ.get("LOGBROOK_LOGHUB", REPOSITORY.parent / "shared/data/loghub"))
LOGHUB_FILES = sorted(LOGHUB.glob("*.log"))

SAMPLES = {
    "unix": b"one\ntwo\n  indented\n\tat frame\n\nafter an empty line\n",
    "windows": b"one\r\ntwo\r\n\r\nlone \r inside\r\n",
    "no last end": b"one\ntwo",
    "carriage return at the end": b"one\ntwo\r",
    "only ends": b"\n\r\n\n",
    "looks like JSON": b'{"a": 1}\n{broken\n[1, 2]\n[x\n"text"\nnull\n{}\n[]\n[{"a": 1}]\n',
    "bytes": bytes(range(256)).replace(b"\n", b"")
    + b"\n"
    + b"caf\xe9\n{\xff\n[\xff\n\xef\xbb\xbfbom\n\xff\xfe\n \xff \n",
    "unicode": "é 日本 \N{GRINNING FACE} \u2028 \u0085 \u00a0 \ufeff \u202e\n".encode(),
    "quotes": b"say \"hi\" \\ / \\n \\u0041 'single' \x00\x1b[31mred\x1b[0m\x7f\n",
    "blanks": b" \n  lead\ntrail  \n\t\n \r\n",
    "long": b"x" * 700_000 + b"\nshort\n" + b'"' * 200_000 + b"\n",
    "many": b"".join(b"2026-01-31 12:00:%02d INFO line %d\n" % (n % 60, n) for n in range(5_000)),
}


def lines_of(data: bytes) -> list[bytes]:
    """A line ends at LF or CRLF; what is behind the last end is a line if it is not empty."""
    lines = re.split(rb"\r?\n", data)
    return lines if lines[-1] else lines[:-1]


def send(pipeline: Pipeline, to: str, *arguments: str) -> Position:
    """Send with `logbrook produce`, all acknowledged; the position before."""
    before = pipeline.position()
    env = environment(pipeline.kafka, LOGBROOK_GATEWAY_URL=pipeline.gateway_url, LOGBROOK_TOKEN=pipeline.token)
    outcome = run(env, "--to", to, "--json", *arguments)
    assert outcome.status == 0, outcome
    return before


def bodies(before: Position) -> list[bytes]:
    """The bodies that arrived, in the order of the topic; the original where colors were taken out."""
    original = "LogAttributes['log.record.original']"
    return [body for (body,) in before.rows(f"if({original} = '', otel_logs.Body, {original}) AS Body")]


def same(found: Sequence[bytes], expected: Sequence[bytes]) -> None:
    """Compare with a short message: the files are long."""
    assert len(found) == len(expected)
    for number, (body, line) in enumerate(zip(found, expected, strict=True)):
        assert body == line, f"line {number}"


@pytest.mark.parametrize("name", SAMPLES)
def test_sample(pipeline: Pipeline, tmp_path: Path, name: str) -> None:
    """Whatever the bytes of a line are, they come out as they went in."""
    file = tmp_path / "sample.log"
    file.write_bytes(SAMPLES[name])
    lines = lines_of(SAMPLES[name])
    before = send(pipeline, "kafka", "--file", str(file), "--multiline", "off", "--format", "text")
    before.wait_for(len(lines))
    same(bodies(before), lines)


@pytest.mark.skipif(not LOGHUB_FILES, reason="no loghub samples: set LOGBROOK_LOGHUB to their directory")
@pytest.mark.parametrize("to", ["kafka", "gateway"])
@pytest.mark.parametrize("file", LOGHUB_FILES, ids=lambda file: file.stem)
def test_loghub(pipeline: Pipeline, file: Path, to: str) -> None:
    """Real logs of real systems: every line, in order where one partition keeps it, with the times of the text."""
    lines = lines_of(file.read_bytes())
    before = send(pipeline, to, "--file", str(file), "--multiline", "off")
    before.wait_for(len(lines))
    same(*([bodies(before), lines] if to == "kafka" else [sorted(bodies(before)), sorted(lines)]))
    assert before.query("SELECT countIf(ParseError != '') FROM events") == "0\n"
    undated = int(before.query("SELECT countIf(Timestamp >= now() - INTERVAL 1 DAY) FROM events"))
    assert undated <= 0.05 * len(lines)


def test_time_and_severity_without_fields(pipeline: Pipeline, tmp_path: Path) -> None:
    """A JSON event that has a body alone is read as the same line of text would be; the service is the one given."""
    file = tmp_path / "app.log"
    file.write_text("2026-01-31 12:00:00,250 WARN [main] low\n2026-01-31T12:00:01Z ERROR high\n")
    before = send(pipeline, "kafka", "--file", str(file), "--service", "thermostat")
    query = "SELECT Timestamp, SeverityText, ServiceName FROM events ORDER BY Timestamp"
    expected = (
        "2026-01-31 12:00:00.250000000\tWARN\tthermostat\n2026-01-31 12:00:01.000000000\tERROR\tthermostat\n"
    )  # fmt: skip
    eventually(lambda: before.query(query), expected)


def test_stack_traces_stay_whole(pipeline: Pipeline, tmp_path: Path) -> None:
    """With multiline, the default, a stack trace is part of its event."""
    file = tmp_path / "app.log"
    file.write_text("a\nfailed\n\tat x.Y\nCaused by: z\n\t... 1 more\nb\n")
    before = send(pipeline, "kafka", "--file", str(file))
    before.wait_for(3)
    same(bodies(before), [b"a", b"failed\n\tat x.Y\nCaused by: z\n\t... 1 more", b"b"])


@pytest.mark.parametrize("to", ["kafka", "gateway"])
def test_followed_and_killed(pipeline: Pipeline, tmp_path: Path, to: str) -> None:
    """A follower that is killed while it sends repeats itself, and the pipeline stores each line once."""
    file, state = tmp_path / "app.log", tmp_path / "state"
    env = environment(pipeline.kafka, LOGBROOK_GATEWAY_URL=pipeline.gateway_url, LOGBROOK_TOKEN=pipeline.token)
    arguments = ("--to", to, "--follow", "--file", str(file), "--state", str(state), "--multiline", "off", "--json")
    before = pipeline.position()
    lines: list[bytes] = []
    for turn in range(4):
        process = start(env, *arguments)
        deadline = time.monotonic() + 60
        saved = state.read_bytes() if state.exists() else b""
        while True:
            some = [b"%d-%d" % (turn, len(lines) + number) for number in range(50)]
            with file.open("ab") as log:
                log.write(b"".join(line + b"\n" for line in some))
            lines += some
            # Killed as soon as it has begun: most likely before the answer came.
            if state.exists() and state.read_bytes() != saved:
                break
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.kill()
        finish(process)
    process = start(env, *arguments)
    before.wait_for(len(lines))
    process.terminate()
    assert finish(process).status == 143
    same(sorted(bodies(before)), sorted(lines))


def test_made_up_events(pipeline: Pipeline) -> None:
    """Made-up events arrive complete and distinct, with their fields in place."""
    before = send(pipeline, "kafka", "--count", "20000", "--event-id", "--seed", "9")
    before.wait_for(20_000)
    query = (
        "SELECT uniqExact(LogAttributes['event_id']), uniqExact(KafkaPartition, KafkaOffset, KafkaIndex),"
        " countIf(ParseError != ''), uniqExact(ServiceName), countIf(TraceId = ''), countIf(SeverityNumber = 0)"
        " FROM events"
    )
    ids, identities, flagged, services, untraced, unrated = before.query(query).split()
    assert (ids, identities, flagged, services, unrated) == ("20000", "20000", "0", "12", "0")
    assert 0 < int(untraced) < 10_000
