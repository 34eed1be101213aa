"""Values of the command line's options from their text."""

import re
from datetime import UTC, datetime, timedelta

from logbrook.errors import ConfigError

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def duration(text: str | None) -> timedelta | None:
    """`24h` and the like. Raises ConfigError."""
    if text is None:
        return None
    match = _DURATION.fullmatch(text)
    if match is None or float(match[1]) == 0:
        raise ConfigError(f"{text!r} is not a duration: write 24h, 30m, 90s or 7d")
    return timedelta(seconds=float(match[1]) * _UNIT_SECONDS[match[2]])


def time(text: str | None) -> datetime | None:
    """RFC 3339; a time without a zone is UTC. Raises ConfigError."""
    if text is None:
        return None
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{text!r} is not a time: write it as 2026-01-31T12:00:00Z") from None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def time_ms(text: str | None) -> int | None:
    """Unix milliseconds of a time as above, or of that long ago: `90s`, `2h`, `7d`. Raises ConfigError."""
    if text is None:
        return None
    ago = duration(text) if _DURATION.fullmatch(text) else None
    at = datetime.now(UTC) - ago if ago else time(text)
    assert at is not None
    return int(at.timestamp() * 1000)


def need(condition: bool, message: str) -> None:
    """Raise ConfigError with `message` unless `condition` holds."""
    if not condition:
        raise ConfigError(message)
