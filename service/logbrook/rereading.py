"""Files that are read again while a process runs, so that changes need no restart."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog

from logbrook.errors import ConfigError

log = structlog.get_logger()

# On Cloud Run each reading is a call to Secret Manager: $0.03 for 10,000 (https://cloud.google.com/secret-manager/pricing).
REREAD_SECONDS = 30.0


async def reread(file: Path | None, renew: Callable[[str], bool]) -> None:
    """Read a file again, forever. `renew` gets the text, and says whether it differs.

    A file that can't be read, or that `renew` refuses with ConfigError, changes nothing, and is named in the log.
    """
    complaint = ""
    while file is not None:
        await asyncio.sleep(REREAD_SECONDS)
        try:
            if renew(await asyncio.to_thread(file.read_text)):
                log.info("a file was read again", file=str(file))
            complaint = ""
        except (OSError, UnicodeDecodeError, ConfigError) as error:
            if str(error) != complaint:
                log.warning("a file can't be read again: all stays as it was", file=str(file), error=str(error))
            complaint = str(error)
