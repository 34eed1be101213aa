"""The pipe through which a result leaves the engine.

The engine writes, the event loop reads, and a slow client slows the engine down.
"""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator

_BYTES = 2**20


def create() -> tuple[int, int]:
    """A pipe as (reading end, writing end), as large as allowed; reading does not block."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with contextlib.suppress(PermissionError):
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _BYTES)
    return reading, writing


async def read(pipe: int) -> AsyncIterator[bytes]:
    """What is written into the pipe, until its other end is closed."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            piece = os.read(pipe, _BYTES)
        except BlockingIOError:
            ready = asyncio.Event()
            loop.add_reader(pipe, ready.set)
            try:
                await ready.wait()
            finally:
                loop.remove_reader(pipe)
            continue
        if not piece:
            return
        yield piece


async def up_to(size: int, pieces: AsyncIterator[bytes]) -> bytes:
    """The first `size` bytes or somewhat more; less only if there is no more."""
    found = bytearray()
    while len(found) < size:
        piece = await anext(pieces, None)
        if piece is None:
            break
        found += piece
    return bytes(found)
