"""The command as a process against a real Kafka: what it says was acknowledged is there, once."""

import json
import os
import pty
import re
import signal
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from logbrook import config
from logbrook.kafka import client_config
from tests.produce.command import Stored, environment, finish, run, start, stored, wait_until
from tests.produce.scripted_gateway import Answer, always, scripted_gateway


def lines(messages: list[Stored]) -> list[bytes]:
    """The events of messages, in order."""
    return [line for message in messages for line in message.payload.split(b"\n")]


def ids(messages: list[Stored]) -> list[str]:
    """The `event_id` of each event."""
    return [json.loads(line)["event_id"] for line in lines(messages)]


@pytest.mark.parametrize("per_message", [500, 7, 1])
def test_what_is_acknowledged_is_there(topic: config.Kafka, per_message: int) -> None:
    """Each event is in the topic once, in messages of the size that was asked for; status 0."""
    outcome = run(
        environment(topic), "--count", "2345", "--event-id", "--seed", "5", "--json",
        "--events-per-message", str(per_message),
    )  # fmt: skip
    assert outcome.status == 0, outcome
    summary = outcome.summary
    assert (summary["events"], summary["acknowledged"], summary["failed"]) == (2345, 2345, 0)
    messages = stored(topic)
    assert sorted(ids(messages)) == sorted(f"5-{number}" for number in range(2345))
    assert max(message.payload.count(b"\n") + 1 for message in messages) == per_message
    assert summary["bytes"] == sum(len(message.payload) for message in messages)


def test_same_seed_and_start_time_same_bytes(topic: config.Kafka) -> None:
    """Two runs with the same seed and start time send the same events, to the last byte."""
    arguments = ("--count", "1000", "--seed", "3", "--start-time", "2026-01-31T12:00:00Z", "--spread", "1h")
    for _ in range(2):
        assert run(environment(topic), *arguments).status == 0
    sent = sorted(lines(stored(topic)))
    assert sent[::2] == sent[1::2]
    stamps = sorted({json.loads(line)["timestamp"] for line in sent})
    assert stamps[0] == 1769860800 * 10**9
    assert len(stamps) == 1000
    assert stamps[-1] - stamps[0] == 999 * 3600 * 10**6


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_in_order(topic: config.Kafka, number: signal.Signals, status: int) -> None:
    """Ctrl-C stops the making, waits for the answers, prints what was acknowledged: exactly what is in the topic."""
    process = start(environment(topic), "--rate", "2000", "--event-id", "--json")
    wait_until(lambda: bool(stored(topic)))
    process.send_signal(number)
    outcome = finish(process)
    assert outcome.status == status, outcome
    found = ids(stored(topic))
    assert len(set(found)) == len(found) == outcome.summary["acknowledged"] == outcome.summary["events"]
    assert outcome.summary["interrupted"] is True
    assert outcome.summary["failed"] == 0


def test_what_is_not_acknowledged_has_failed(topic: config.Kafka) -> None:
    """Events that Kafka refuses are counted as failed, with its reason; status 1."""
    name = topic.topic + "-narrow"
    admin = AdminClient(client_config(topic))
    [created] = admin.create_topics([NewTopic(name, 8, 1, config={"max.message.bytes": "10000"})]).values()
    created.result(30)
    outcome = run(environment(topic, LOGBROOK_KAFKA_TOPIC=name), "--count", "1001", "--json")
    assert outcome.status == 1
    # Only the last message, of one event, may be small enough: it depends on what it is sent together with.
    assert outcome.summary["failed"] in (1000, 1001)
    assert outcome.summary["acknowledged"] == len(lines(stored(replace(topic, topic=name))))
    assert "too large" in outcome.summary["error"]


def test_a_second_signal_does_not_wait() -> None:
    """When no answer comes, a second signal ends it at once, and says what was not acknowledged."""
    with scripted_gateway(always(503)) as gateway:
        env = environment(LOGBROOK_GATEWAY_URL=gateway.url)
        process = start(env, "--to", "gateway", "--count", "100000", "--timeout", "1000")
        wait_until(lambda: len(gateway.requests) > 3)
        # Two kinds, because two of one kind at one moment may arrive as one.
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        outcome = finish(process)
    assert outcome.status in (130, 143)
    assert re.search(r"0 of [\d,]+ events acknowledged .*; [\d,]+ were not: ", outcome.output)


def test_no_broker_is_told() -> None:
    """Without Kafka the command says so and where it looked; status 1, and no traceback."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        place = "{}:{}".format(*unused.getsockname())
        nowhere = config.Kafka(bootstrap_servers=place)
        outcome = run(environment(nowhere), "--count", "1")
    assert outcome.status == 1
    assert place in outcome.errors
    assert "Traceback" not in outcome.errors


def test_no_topic_is_told(topic: config.Kafka) -> None:
    """Without the topic the command says what creates it."""
    outcome = run(environment(topic, LOGBROOK_KAFKA_TOPIC="missing"), "--count", "1")
    assert outcome.status == 1
    assert "logbrook migrate" in outcome.errors


@pytest.mark.parametrize(
    "arguments",
    [
        ("--rate", "0"),
        ("--events-per-message", "0"),
        ("--events-per-message", "1001"),
        ("--rate", "1", "--spread", "1h"),
        ("--spread", "long"),
        ("--start-time", "soon"),
        ("--follow",),
        ("--file", "x", "--state", "y"),
        ("--file", "/nowhere/x.log"),
        ("--file", "/"),
    ],
)
def test_options_that_do_not_fit(topic: config.Kafka, arguments: tuple[str, ...]) -> None:
    """A bad option is one line of error, status 1, and nothing is sent."""
    outcome = run(environment(topic), *arguments)
    assert outcome.status == 1, outcome
    assert outcome.errors.startswith("error ")
    assert "Traceback" not in outcome.errors
    assert stored(topic) == []


def test_progress_on_a_terminal(topic: config.Kafka) -> None:
    """On a terminal a bar shows how far it is; the result is on standard output."""
    master, slave = pty.openpty()
    process = start(environment(topic, TERM="xterm", COLUMNS="100"), "--count", "3000", stderr=slave)
    os.close(slave)
    outcome_text = b""
    try:
        while piece := os.read(master, 4096):
            outcome_text += piece
    except OSError:  # Linux's way to say that the other side has closed
        pass
    os.close(master)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert b"3,000 events acknowledged" in outcome_text
    assert output.startswith(b"3,000 of 3,000 events acknowledged in ")


SAMPLE = b"one\r\n\n  two\nthree \xff\xfe\n{not json\n[x\n\ttab\0nul\n\xc3\xa9 \xf0\x9f\x98\x80\r\r\nlast"
SAMPLE_LINES = [b"one", b"", b"  two", b"three \xff\xfe", b"{not json", b"[x", b"\ttab\0nul"]
SAMPLE_LINES += ["é \N{GRINNING FACE}\r".encode(), b"last"]


def text_of(messages: list[Stored]) -> list[bytes]:
    """The bodies of a text file's messages."""
    found = []
    for message in messages:
        if message.payload.startswith(b'{"'):
            found += [json.loads(line)["body"].encode() for line in message.payload.split(b"\n")]
        else:
            found.append(message.payload)
    return found


@pytest.mark.parametrize("stdin", [True, False])
def test_a_file_line_by_line(topic: config.Kafka, tmp_path: Path, stdin: bool) -> None:
    """Without multiline, each line of a text file is an event, byte for byte, in order."""
    file = tmp_path / "sample.log"
    file.write_bytes(SAMPLE)
    outcome = run(
        environment(topic), "--file", "-" if stdin else str(file), "--multiline", "off", "--json", "--format", "text",
        stdin=SAMPLE if stdin else None,
    )  # fmt: skip
    assert outcome.status == 0, outcome
    assert outcome.summary["acknowledged"] == len(SAMPLE_LINES)
    assert text_of(stored(topic)) == SAMPLE_LINES


def test_follow_survives_being_killed(topic: config.Kafka, tmp_path: Path) -> None:
    """Killed again and again while the file grows and is rotated, no line is lost, and none comes under two keys."""
    file, state = tmp_path / "app.log", tmp_path / "state"
    arguments = ("--follow", "--file", str(file), "--state", str(state), "--multiline", "off", "--json")
    written = []
    for turn in range(8):
        process = start(environment(topic), *arguments)
        for batch in range(20):
            some = [f"{turn}-{batch}-{number}" for number in range(200)]
            with file.open("a") as log:
                log.write("\n".join(some) + "\n")
            written += some
            if batch == 10 and turn % 3 == 1:
                file.rename(tmp_path / f"app.log.{turn}")
        seen = f"{turn}-{turn}-0".encode()
        wait_until(lambda seen=seen: any(seen in message.payload for message in stored(topic)))  # type: ignore[misc]
        process.kill()
        finish(process)
    process = start(environment(topic), *arguments)
    written.append("the end")
    with file.open("a") as log:
        log.write("the end\n")
    wait_until(lambda: any(b"the end" in message.payload for message in stored(topic)))
    process.send_signal(signal.SIGTERM)
    assert finish(process).status == 143
    once = {message.key: message for message in stored(topic)}
    assert None not in once
    found = [body.decode() for body in text_of(list(once.values()))]
    assert sorted(found) == sorted(written)


def test_to_the_gateway(tmp_path: Path) -> None:
    """`--to gateway` sends to LOGBROOK_GATEWAY_URL with LOGBROOK_TOKEN, each request under its own key."""
    with scripted_gateway(lambda times, _: Answer(200) if times else Answer(503, "0")) as gateway:
        env = environment(LOGBROOK_GATEWAY_URL=gateway.url, LOGBROOK_TOKEN="t0ken")
        outcome = run(env, "--to", "gateway", "--count", "1200", "--event-id", "--json")
    assert outcome.status == 0, outcome
    assert outcome.summary["acknowledged"] == 1200
    once = {request.key: request.body for request in gateway.requests}
    found = [json.loads(line)["event_id"] for body in once.values() for line in body.split(b"\n")]
    assert sorted(found) == sorted(f"1-{number}" for number in range(1200))
    assert {request.token for request in gateway.requests} == {"Bearer t0ken"}


def test_a_refused_token_is_told() -> None:
    """401 ends the run with a clear error; the token is in no output."""
    with scripted_gateway(always(401)) as gateway:
        env = environment(LOGBROOK_GATEWAY_URL=gateway.url, LOGBROOK_TOKEN="t0ken")
        outcome = run(env, "--to", "gateway", "--count", "100000")
    assert outcome.status == 1
    assert "LOGBROOK_TOKEN" in outcome.errors
    assert "t0ken" not in outcome.errors + outcome.output
