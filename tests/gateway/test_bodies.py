"""Reading bodies: every encoding, and a limit on every byte."""

import asyncio
import gzip
import random
import zlib
from collections.abc import AsyncIterator, Callable

import cramjam
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from logbrook.errors import RejectedError, UnavailableError
from logbrook.gateway.bodies import Body, Budget, Lease, encoding_of, receive

MIB = 2**20


def raw_deflate(data: bytes) -> bytes:
    """Deflate without zlib's header, as some clients send it."""
    squeezer = zlib.compressobj(wbits=-15)
    return squeezer.compress(data) + squeezer.flush()


ENCODERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "identity": ("identity", bytes),
    "gzip": ("gzip", gzip.compress),
    "gzip in two members": ("gzip", lambda data: gzip.compress(data[:10]) + gzip.compress(data[10:])),
    "gzip with padding": ("x-gzip", lambda data: gzip.compress(data) + bytes(7)),
    "deflate": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "snappy": ("snappy", lambda data: bytes(cramjam.snappy.compress_raw(data))),
    "zstd": ("zstd", zstandard.ZstdCompressor().compress),
    "zstd in two frames": (
        "zstd",
        lambda data: zstandard.ZstdCompressor().compress(data[:10]) + zstandard.ZstdCompressor().compress(data[10:]),
    ),
    "zstd of unknown size": (
        "zstd",
        lambda data: zstandard.ZstdCompressor(write_content_size=False, write_checksum=True).compress(data),
    ),
}
COMPRESSED = [name for name in ENCODERS if name != "identity"]
ONE_STREAM = ["gzip", "deflate", "raw deflate", "zstd", "zstd of unknown size"]


def take(
    sent: bytes,
    encoding: str | None,
    *,
    budget: Budget | None = None,
    max_body_bytes: int = MIB,
    max_inflated_bytes: int = MIB,
    chunk: int = 4096,
) -> bytes:
    """Read `sent` as if it came in pieces of `chunk` bytes."""

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(sent), chunk):
            yield sent[start : start + chunk]

    async def all_of_it() -> bytes:
        with Lease(budget or Budget(64 * MIB)) as lease:
            name = encoding_of(encoding)
            return Body(await receive(pieces(), lease, max_body_bytes), name, lease, max_inflated_bytes).whole()

    return asyncio.run(all_of_it())


@given(st.sampled_from(sorted(ENCODERS)), st.binary(max_size=5000), st.integers(1, 700))
def test_a_body_is_read_whole(name: str, body: bytes, chunk: int) -> None:
    """Whatever the encoding and wherever the network cuts it, the body is what was sent."""
    encoding, encode = ENCODERS[name]

    assert take(encode(body), encoding, chunk=chunk) == body


@pytest.mark.parametrize("encoding", [None, "", " Identity "])
def test_no_encoding_is_identity(encoding: str | None) -> None:
    """A missing or empty header means: as it is."""
    assert take(b"plain", encoding) == b"plain"


@pytest.mark.parametrize("encoding", ["br", "compress", "gzip, gzip", "x" * 1000])
def test_an_unknown_encoding_is_refused(encoding: str) -> None:
    """An encoding that is not known is answered 415, with the ones that are."""
    with pytest.raises(RejectedError, match="gzip, zstd, deflate") as refused:
        take(b"x", encoding)

    assert refused.value.status == 415


@pytest.mark.parametrize("name", COMPRESSED)
def test_a_bomb_costs_no_more_than_the_limit(name: str) -> None:
    """A small body that inflates beyond the limit is answered 413 before it has grown much beyond it."""
    encoding, encode = ENCODERS[name]
    budget = Budget(64 * MIB)

    with pytest.raises(RejectedError) as refused:
        take(encode(bytes(200 * MIB)), encoding, budget=budget, max_body_bytes=16 * MIB)

    assert (refused.value.status, refused.value.code) == (413, "inflated_too_large")
    assert budget.taken == 0


@pytest.mark.parametrize(("window_log", "is_taken"), [(23, True), (24, False)])
def test_a_sender_of_zstd_does_not_choose_the_window(window_log: int, is_taken: bool) -> None:
    """A frame that asks to remember more than 8 MiB is answered 400 before anything is set aside for it (RFC 9659)."""
    parameters = zstandard.ZstdCompressionParameters(window_log=window_log, write_content_size=False)
    squeezer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    sent = squeezer.compress(b"{}") + squeezer.flush()
    assert zstandard.get_frame_parameters(sent).window_size == 2**window_log

    if is_taken:
        assert take(sent, "zstd") == b"{}"
    else:
        with pytest.raises(RejectedError, match="memory") as refused:
            take(sent, "zstd")
        assert (refused.value.status, refused.value.code) == (400, "broken_encoding")


@pytest.mark.parametrize("name", COMPRESSED)
def test_no_more_is_inflated_than_is_asked_for(name: str) -> None:
    """To know that a body is long, little more of it is inflated; the rest is not lost."""
    encoding, encode = ENCODERS[name]
    content = random.Random(1).randbytes(2 * MIB) * 6
    budget = Budget(64 * MIB)
    with Lease(budget) as lease:
        body = Body(encode(content), encoding_of(encoding), lease, 64 * MIB)

        assert body.is_longer(1000)
        assert budget.taken < 5 * MIB
        assert body.whole() == content
        # Random bytes are hardly longer as sent.
        assert not body.is_longer(2 * len(content))


def test_to_find_out_how_long_a_body_is_takes_no_time() -> None:
    """One that is long as it was sent is long, without a look at the nothing that it may stand for."""
    with Lease(Budget(64 * MIB)) as lease:
        body = Body(raw_deflate(b"") * 1000, "deflate", lease, 64 * MIB)

        assert body.is_longer(1000)
        assert not body.is_longer(3000)


@pytest.mark.parametrize(
    ("encoding", "empty"),
    [
        ("gzip", ENCODERS["gzip"][1](b"")),
        ("deflate", raw_deflate(b"")),
        ("zstd", ENCODERS["zstd"][1](b"")),
        ("zstd", b"\x50\x2a\x4d\x18" + bytes(4)),
    ],
    ids=["gzip", "deflate", "zstd", "zstd, skippable"],
)
def test_a_body_has_not_too_many_parts(encoding: str, empty: bytes) -> None:
    """Millions of empty members or frames would take a minute: ten thousand are taken, more are answered 400."""
    assert take(empty * 10_000, encoding) == b""
    with pytest.raises(RejectedError, match="more than 10000 members") as refused:
        take(empty * 10_001, encoding)

    assert (refused.value.status, refused.value.code) == (400, "broken_encoding")


def test_a_body_is_measured_as_it_is_sent_too() -> None:
    """More bytes than allowed are refused as soon as they come in, compressed or not."""
    with pytest.raises(RejectedError) as refused:
        take(bytes(1001), None, max_body_bytes=1000)

    assert (refused.value.status, refused.value.place["limit"]) == (413, 1000)
    assert take(bytes(1000), None, max_body_bytes=1000) == bytes(1000)


@given(st.sampled_from(ONE_STREAM), st.binary(min_size=1, max_size=300), st.data())
def test_a_body_that_is_cut_off_is_refused(name: str, body: bytes, data: st.DataObject) -> None:
    """A stream that ends too early is answered 400: half a body is never taken for a whole one."""
    encoding, encode = ENCODERS[name]
    sent = encode(body)
    kept = data.draw(st.integers(0, len(sent) - 1))

    with pytest.raises(RejectedError) as refused:
        take(sent[:kept], encoding)

    assert refused.value.status == 400


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
@given(body=st.binary(min_size=1, max_size=200).map(lambda body: b"\xff" + body))
def test_rubbish_is_refused(encoding: str, body: bytes) -> None:
    """Bytes that are no such stream are answered 400. (None begins with 0xff.)"""
    with pytest.raises(RejectedError) as refused:
        take(body, encoding)

    assert refused.value.status == 400


def test_all_requests_share_a_budget() -> None:
    """When the bodies of other requests fill the budget, the next is answered 429; it is given back afterwards."""
    budget = Budget(1000)
    with Lease(budget) as other:
        other.take(600)
        with pytest.raises(UnavailableError) as refused:
            take(bytes(500), None, budget=budget)
        assert refused.value.status == 429
        assert take(bytes(400), None, budget=budget) == bytes(400)

    assert budget.taken == 0
