"""GELF over HTTP: https://go2docs.graylog.org/current/getting_in_log_data/gelf.html."""

import gzip
import json
import zlib
from collections.abc import Callable

import pytest

from tests.gateway.door import Door

# Of Graylog's documentation.
MESSAGE = {
    "version": "1.1",
    "host": "example.org",
    "short_message": "A short message that helps you identify what is going on",
    "full_message": "Backtrace here\n\nmore stuff",
    "timestamp": 1385053862.3072,
    "level": 1,
    "_user_id": 9001,
}
STORED = {name.removeprefix("_"): value for name, value in MESSAGE.items()}


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("compress", [bytes, zlib.compress, gzip.compress])
@pytest.mark.parametrize("headers", [{}, {"content_encoding": "gzip,deflate"}, {"content_encoding": "gzip"}], ids=str)
def test_a_message_is_an_event(
    door: Door, count: int, compress: Callable[[bytes], bytes], headers: dict[str, str]
) -> None:
    """As it was sent, alone or on a line each; its first bytes say how it is compressed, as for Graylog.

    `gzip,deflate` around zlib is what pygelf (handlers.py) and graypy (handler.py) send.
    """
    body = compress("\n".join([json.dumps(MESSAGE)] * count).encode())

    answer = door.request("POST", "/gelf", body, **headers)

    assert (answer.status_code, answer.content) == (202, b"")
    assert door.events == [STORED] * count


def test_only_keys_lose_their_underscore(door: Door) -> None:
    """Not values, nor what looks like a key within a text; and not what has two of them more than one."""
    message = {
        "short_message": 'a {"_b": 1} ,"_c":2',
        "_list": ["_x", {"_y": "_z"}],
        "__two": 1,
        "_": 2,
        "n": {"_deep": '"_e":'},
    }

    door.request("POST", "/gelf", json.dumps(message).encode())

    assert door.events == [
        {
            "short_message": 'a {"_b": 1} ,"_c":2',
            "list": ["_x", {"y": "_z"}],
            "_two": 1,
            "_": 2,
            "n": {"deep": '"_e":'},
        }
    ]


BROKEN = {
    "a bomb": zlib.compress(b"{" + b" " * 40_000_000),
    "cut off": gzip.compress(b"{")[:-9],
    "not zlib": b"x\x9cnot zlib",
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_limits_hold_as_for_any_encoding(door: Door, body: bytes) -> None:
    """A bomb, a stream that is cut off, and a broken one."""
    assert door.request("POST", "/gelf", body).status_code in (400, 413)
    assert door.messages == []


@pytest.mark.parametrize("body", [b"", b"text", b'{"short_message":'])
def test_what_is_no_json_is_refused(door: Door, body: bytes) -> None:
    """400, and nothing is stored."""
    assert door.request("POST", "/gelf", body).status_code == 400
    assert door.messages == []


def test_it_is_answered_when_kafka_has_it(door: Door) -> None:
    """Not before, as over UDP."""
    door.topic.failure = "down"

    assert door.request("POST", "/gelf", json.dumps(MESSAGE).encode()).status_code == 503
