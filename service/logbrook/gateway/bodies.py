"""Reading a request's body with a limit on every byte: as sent, inflated, and over all open requests together."""

import io
import zlib
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Protocol, Self

import zstandard

from logbrook.errors import BusyError, RejectedError

# RFC 9659: what a sender of `Content-Encoding: zstd` may ask a receiver to remember.
_ZSTD_WINDOW_BYTES = 8 * 2**20
# A zstd block of 4 bytes can stand for 128 KiB: this many bytes at a time bound one step to 16 MiB.
_ZSTD_STEP_BYTES = 512
# What zlib inflates at a time: it holds a step twice for a moment.
_STEP_BYTES = 2**20
_GZIP, _ZLIB, _RAW = 31, 15, -15


class Budget:
    """The bytes of bodies that all open requests together may hold in memory."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.taken = max_bytes, 0


class Lease:
    """One request's share of the budget, given back when the request is answered."""

    def __init__(self, budget: Budget) -> None:
        self._budget, self._taken = budget, 0

    def take(self, count: int) -> None:
        """Add `count` bytes to the share. Raises UnavailableError (429) if the budget is used up."""
        if self._budget.taken + count > self._budget.max_bytes:
            raise BusyError("too_busy", "Too many bytes of other requests are being worked on. Send this one again.")
        self._budget.taken += count
        self._taken += count

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self._budget.taken -= self._taken


class _Decoder(Protocol):
    """Takes the body in pieces and gives what they stand for."""

    def feed(self, data: bytes) -> None: ...
    def finish(self) -> bytes: ...


async def read(
    stream: AsyncIterator[bytes], encoding: str | None, lease: Lease, *, max_body_bytes: int, max_inflated_bytes: int
) -> bytes:
    """The whole body, inflated.

    Raises RejectedError: 413 beyond a limit (as soon as it is passed, so that a zip bomb costs no more than
    the limit), 415 for an encoding that is not known, 400 for one that is broken or cut off.
    Raises UnavailableError (429) when the lease gets no more.
    """
    decoder = _decoder((encoding or "identity").strip().lower(), lease, max_inflated_bytes)
    received = 0
    async for chunk in stream:
        received += len(chunk)
        if received > max_body_bytes:
            raise body_too_large(max_body_bytes)
        lease.take(len(chunk))
        decoder.feed(chunk)
    return decoder.finish()


def body_too_large(max_body_bytes: int) -> RejectedError:
    """The answer to a body over the limit."""
    return RejectedError(
        413,
        "body_too_large",
        f"The body has more than {max_body_bytes} bytes. Send it in parts, or raise LOGBROOK_GATEWAY_MAX_BODY_BYTES.",
        limit=max_body_bytes,
    )


def _decoder(encoding: str, lease: Lease, limit: int) -> _Decoder:
    if encoding in ("identity", ""):
        return _Identity(limit)
    if encoding in ("gzip", "x-gzip"):
        return _Zlib(encoding, _GZIP, lease, limit)
    if encoding == "deflate":
        return _Zlib(encoding, None, lease, limit)
    if encoding == "zstd":
        return _Zstd(lease, limit)
    raise RejectedError(
        415, "unknown_encoding", f"Content-Encoding {encoding[:64]!r} is not one of gzip, zstd, deflate, identity."
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

    def room(self) -> int:
        """How much to ask for: at most one byte more than what fits, which shows whether the limit is passed."""
        return min(_STEP_BYTES, self._limit - self.size + 1)

    def finish(self) -> bytes:
        return self._whole.getvalue()


class _Identity:
    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._whole = io.BytesIO()

    def feed(self, data: bytes) -> None:
        if self._whole.tell() + len(data) > self._limit:
            raise _inflated_too_large(self._limit)
        self._whole.write(data)

    def finish(self) -> bytes:
        return self._whole.getvalue()


class _Zlib:
    """gzip (several members, too), and deflate with or without zlib's header: clients send both."""

    def __init__(self, name: str, window: int | None, lease: Lease, limit: int) -> None:
        self._name, self._window = name, window
        self._output = _Output(lease, limit)
        self._held = b""
        self._inflate = None if window is None else zlib.decompressobj(window)
        self._streams = 0
        self._pending = False

    def feed(self, data: bytes) -> None:
        data = self._held + data
        self._held = b""
        while data or self._pending:
            if self._inflate is None:
                data = self._start(data)
                if self._inflate is None:
                    return
            room = self._output.room()
            try:
                piece = self._inflate.decompress(data, room)
            except zlib.error as error:
                raise _broken(self._name, str(error)) from None
            self._output.add(piece)
            # All that was asked for: there may be more, although nothing more of the input is needed for it.
            self._pending = len(piece) == room
            if self._inflate.eof:
                data, self._inflate, self._pending = self._inflate.unused_data, None, False
                self._streams += 1
            else:
                data = self._inflate.unconsumed_tail

    def _start(self, data: bytes) -> bytes:
        """Begin a stream with `data`, of which zero padding between gzip members is left out."""
        if self._streams:
            data = data.lstrip(b"\0")
        if len(data) < 2:
            self._held = data
            return b""
        window = self._window
        if window is None:
            has_header = data[0] & 0x0F == 8 and int.from_bytes(data[:2]) % 31 == 0
            window = _ZLIB if has_header else _RAW
        self._inflate = zlib.decompressobj(window)
        return data

    def finish(self) -> bytes:
        if self._held or self._inflate is not None or not self._streams:
            raise _cut_off(self._name)
        return self._output.finish()


class _Zstd:
    """zstd, one frame or several."""

    def __init__(self, lease: Lease, limit: int) -> None:
        self._output = _Output(lease, limit)
        self._context = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
        self._inflate = self._context.decompressobj()
        self._open = True

    def feed(self, data: bytes) -> None:
        for start in range(0, len(data), _ZSTD_STEP_BYTES):
            piece = data[start : start + _ZSTD_STEP_BYTES]
            while piece:
                if not self._open:
                    self._inflate, self._open = self._context.decompressobj(), True
                try:
                    self._output.add(self._inflate.decompress(piece))
                except zstandard.ZstdError as error:
                    raise _broken("zstd", str(error)) from None
                piece = self._inflate.unused_data if self._inflate.eof else b""
                self._open = not self._inflate.eof

    def finish(self) -> bytes:
        if self._open:
            raise _cut_off("zstd")
        return self._output.finish()


def _inflated_too_large(limit: int) -> RejectedError:
    return RejectedError(
        413,
        "inflated_too_large",
        f"The body inflates to more than {limit} bytes. Send it in parts or raise LOGBROOK_GATEWAY_MAX_INFLATED_BYTES.",
        limit=limit,
    )


def _broken(encoding: str, reason: str) -> RejectedError:
    return RejectedError(400, "broken_encoding", f"The body is not valid {encoding}: {reason}")


def _cut_off(encoding: str) -> RejectedError:
    return RejectedError(400, "truncated_body", f"The body ends in the middle of its {encoding} stream.")
