"""Reading a request's body with a limit on every byte: as sent, inflated, and over all open requests together."""

import io
import re
import threading
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Self

import cramjam
import zstandard

from logbrook.errors import BusyError, RejectedError

# RFC 9659: what a sender of `Content-Encoding: zstd` may ask a receiver to remember.
_ZSTD_WINDOW_BYTES = 8 * 2**20
# A zstd block of 4 bytes can stand for 128 KiB: this many bytes at a time bound one step to 16 MiB.
_ZSTD_STEP_BYTES = 512
# What zlib inflates at a time: it holds a step twice for a moment.
_STEP_BYTES = 2**20
# What zlib gets at a time, at first and at most: it copies what it has not used, also when a short gzip member ends.
_FIRST_STEP_BYTES, _SENT_STEP_BYTES = 512, 64 * 1024
# Of gzip's members or zstd's frames in one body: an empty one takes 2 bytes, and 10 microseconds.
_MAX_STREAMS = 10_000
# Between gzip members.
_PADDING = re.compile(rb"\0*")
_GZIP, _ZLIB, _RAW = 31, 15, -15


class Budget:
    """The bytes of bodies that all open requests together may hold in memory."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.taken = max_bytes, 0
        # Long bodies are inflated in a thread.
        self.lock = threading.Lock()


class Lease:
    """One request's share of the budget, given back when the request is answered."""

    def __init__(self, budget: Budget) -> None:
        self._budget, self._taken = budget, 0

    def take(self, count: int) -> None:
        """Add `count` bytes to the share. Raises BusyError if the budget is used up."""
        with self._budget.lock:
            if self._budget.taken + count > self._budget.max_bytes:
                raise too_busy()
            self._budget.taken += count
        self._taken += count

    def keep(self, count: int) -> None:
        """Give back all but `count` bytes of the share."""
        with self._budget.lock:
            self._budget.taken -= self._taken - count
        self._taken = count

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.keep(0)


def too_busy() -> BusyError:
    """The answer when other requests take all of the memory, or of the time, that there is for bodies."""
    return BusyError("too_busy", "Too many bytes of other requests are being worked on. Send this one again.")


class Body:
    """A request's body as it was sent, of which no more is inflated than somebody asks for.

    Raises RejectedError, from each method: 413 beyond a limit (as soon as it is passed, so that a zip bomb costs no
    more than the limit), 400 for a stream that is broken or cut off. Raises BusyError when the lease gets
    no more.
    """

    def __init__(self, sent: bytes, encoding: str, lease: Lease, max_inflated_bytes: int) -> None:
        self._output, self._sent_size = _Output(lease, max_inflated_bytes), len(sent)
        self._steps = _DECODERS[encoding](encoding, sent, self._output)

    def is_longer(self, size: int) -> bool:
        """Whether it has more than `size` bytes, as sent or inflated; hardly more than these are, to find out."""
        return max(self._sent_size, self._output.size) > size or any(self._output.size > size for _ in self._steps)

    def whole(self) -> bytes:
        """All of it, inflated."""
        for _ in self._steps:
            pass
        return self._output.finish()


async def receive(stream: AsyncIterator[bytes], lease: Lease, max_body_bytes: int) -> bytes:
    """A body as it is sent. Raises RejectedError (413) beyond the limit, BusyError without a lease."""
    sent = io.BytesIO()
    async for chunk in stream:
        if sent.tell() + len(chunk) > max_body_bytes:
            raise body_too_large(max_body_bytes)
        lease.take(len(chunk))
        sent.write(chunk)
    return sent.getvalue()


def encoding_of(header: str | None, implied: str | None = None) -> str:
    """What a Content-Encoding names; a format may imply one. Raises RejectedError (415) for what is not known."""
    name = (header or "").strip().lower() or "identity"
    if implied == "gelf" or (implied is not None and name in ("identity", implied)):
        return implied
    known = [implied] if implied else ["gzip", "zstd", "deflate", "snappy", "identity"]
    if name not in _DECODERS or name == "gelf" or implied:
        raise RejectedError(
            415, "unknown_encoding", f"Content-Encoding {name[:64]!r} is not one of {', '.join(known)}."
        )
    return name


def body_too_large(max_body_bytes: int) -> RejectedError:
    """The answer to a body over the limit."""
    return RejectedError(
        413,
        "body_too_large",
        f"The body has more than {max_body_bytes} bytes. Send it in parts, or raise LOGBROOK_GATEWAY_MAX_BODY_BYTES.",
        limit=max_body_bytes,
    )


class _Output:
    """Inflated bytes under a limit. They grow in one place: pieces and the whole together would be twice as much."""

    def __init__(self, lease: Lease, limit: int) -> None:
        self._lease, self._limit = lease, limit
        self._whole = io.BytesIO()
        self.size = 0

    def add(self, piece: bytes) -> None:
        self.size += len(piece)
        if self.size > self._limit:
            raise _inflated_too_large(self._limit)
        self._lease.take(len(piece))
        self._whole.write(piece)

    def replace(self, whole: bytes) -> None:
        """What needs no inflating: it is leased, and not copied."""
        if len(whole) > self._limit:
            raise _inflated_too_large(self._limit)
        self.size, self._whole = len(whole), io.BytesIO(whole)

    def room(self) -> int:
        """How much to ask for: at most one byte more than what fits, which shows whether the limit is passed."""
        return min(_STEP_BYTES, self._limit - self.size + 1)

    def announce(self, size: int) -> None:
        """How many bytes there will be."""
        if size > self._limit:
            raise _inflated_too_large(self._limit)
        self.size = size

    def fill(self, inflate: Callable[[memoryview], object]) -> None:
        """Let `inflate` write all that was announced."""
        self._lease.take(self.size)
        if self.size:
            self._whole.seek(self.size - 1)
            self._whole.write(b"\0")
        with self._whole.getbuffer() as view:
            inflate(view)

    def finish(self) -> bytes:
        return self._whole.getvalue()


def _identity(_name: str, sent: bytes, output: _Output) -> Iterator[None]:
    output.replace(sent)
    yield


def _zlib(name: str, sent: bytes, output: _Output) -> Iterator[None]:
    """gzip (several members, too), and deflate with or without zlib's header: clients send both."""
    at = 0
    for _ in range(_MAX_STREAMS):
        head = sent[at : at + 2]
        if len(head) < 2:
            raise _cut_off(name)
        inflate, step = zlib.decompressobj(_window(name, head)), _FIRST_STEP_BYTES
        while not inflate.eof:
            data = sent[at : at + step]
            if not data:
                raise _cut_off(name)
            at, step = at + len(data), min(2 * step, _SENT_STEP_BYTES)
            full = True
            # All that was asked for: there may be more, although nothing more of the input is needed for it.
            while (data or full) and not inflate.eof:
                room = output.room()
                try:
                    piece = inflate.decompress(data, room)
                except zlib.error as error:
                    raise _broken(name, str(error)) from None
                output.add(piece)
                yield
                data, full = inflate.unconsumed_tail, len(piece) == room
        at -= len(inflate.unused_data)
        if padding := _PADDING.match(sent, at):
            at = padding.end()
        if at == len(sent):
            return
    raise _too_many_streams(name)


def _window(name: str, data: bytes) -> int:
    """zlib's `wbits` for the stream that begins with `data`."""
    if name != "deflate":
        return _GZIP
    return _ZLIB if data[0] & 0x0F == 8 and int.from_bytes(data[:2]) % 31 == 0 else _RAW


def _zstd(name: str, sent: bytes, output: _Output) -> Iterator[None]:
    """zstd, one frame or several. A window is only held meanwhile, not while a body is awaited."""
    context = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
    inflate, is_open, count = context.decompressobj(), True, 1
    for start in range(0, len(sent), _ZSTD_STEP_BYTES):
        piece = sent[start : start + _ZSTD_STEP_BYTES]
        while piece:
            if not is_open:
                inflate, count = context.decompressobj(), count + 1
                if count > _MAX_STREAMS:
                    raise _too_many_streams(name)
            try:
                output.add(inflate.decompress(piece))
            except zstandard.ZstdError as error:
                raise _broken(name, str(error)) from None
            piece = inflate.unused_data if inflate.eof else b""
            is_open = not inflate.eof
        yield
    if is_open:
        raise _cut_off(name)


def _snappy(name: str, sent: bytes, output: _Output) -> Iterator[None]:
    """snappy's block format, which begins with the length of what it stands for (format_description.txt of snappy)."""
    try:
        output.announce(cramjam.snappy.decompress_raw_len(sent))
        yield
        output.fill(lambda view: cramjam.snappy.decompress_raw_into(sent, view))
    except cramjam.DecompressionError as error:
        raise _broken(name, str(error)) from None


def _gelf(_name: str, sent: bytes, output: _Output) -> Iterator[None]:
    """gzip, zlib, or as it is, by the first bytes: JSON begins like neither."""
    if sent.startswith(b"\x1f\x8b"):
        return _zlib("gzip", sent, output)
    is_zlib = sent[:1] == b"x" and int.from_bytes(sent[:2]) % 31 == 0
    return _zlib("deflate", sent, output) if is_zlib else _identity("identity", sent, output)


_DECODERS = {
    "identity": _identity,
    "gzip": _zlib,
    "x-gzip": _zlib,
    "deflate": _zlib,
    "zstd": _zstd,
    "snappy": _snappy,
    "gelf": _gelf,
}


def _inflated_too_large(limit: int) -> RejectedError:
    return RejectedError(
        413,
        "inflated_too_large",
        f"The body inflates to more than {limit} bytes. Send it in parts or raise LOGBROOK_GATEWAY_MAX_INFLATED_BYTES.",
        limit=limit,
    )


def _broken(encoding: str, reason: str) -> RejectedError:
    return RejectedError(400, "broken_encoding", f"The body is not valid {encoding}: {reason}")


def _too_many_streams(encoding: str) -> RejectedError:
    return _broken(encoding, f"it has more than {_MAX_STREAMS} members or frames")


def _cut_off(encoding: str) -> RejectedError:
    return RejectedError(400, "truncated_body", f"The body ends in the middle of its {encoding} stream.")
