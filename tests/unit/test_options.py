"""Values of the command's options."""

from datetime import UTC, datetime, timedelta

import pytest

from logbrook import options
from logbrook.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("90s", timedelta(seconds=90)),
        ("1.5m", timedelta(seconds=90)),
        ("24h", timedelta(days=1)),
        ("7d", timedelta(days=7)),
    ],
)
def test_lengths_of_time(text: str | None, expected: timedelta | None) -> None:
    """A number and a unit."""
    assert options.duration(text) == expected


@pytest.mark.parametrize("text", ["", "h", "24", "24 h", "-1h", "0s", "1w", "1e3s"])
def test_bad_lengths_of_time(text: str) -> None:
    """Anything else is told with the text."""
    with pytest.raises(ConfigError, match="write 24h"):
        options.duration(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T13:00:00+01:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
    ],
)
def test_times(text: str | None, expected: datetime | None) -> None:
    """RFC 3339, UTC where there is no zone."""
    assert options.time(text) == expected


def test_a_bad_time() -> None:
    """Anything else is told with the text."""
    with pytest.raises(ConfigError, match="'soon' is not a time"):
        options.time("soon")


def test_points_in_time() -> None:
    """A time, or how long ago, becomes Unix milliseconds."""
    two_hours_ago = datetime.now(UTC) - timedelta(hours=2)

    found = options.time_ms("2h")
    assert found is not None
    assert 0 <= found - int(two_hours_ago.timestamp() * 1000) < 60_000
    assert options.time_ms("1970-01-01T00:00:01Z") == 1000
    assert options.time_ms(None) is None
    with pytest.raises(ConfigError, match="write 24h"):
        options.time_ms("0h")
