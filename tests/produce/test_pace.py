"""When events are due, and what time they carry; with clocks that the test sets."""

import pytest

from logbrook.produce.pace import FixedStamps, NowStamps, Pace


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self, now: float = 0) -> None:
        self.now = now

    def __call__(self) -> float:
        """The time that was set."""
        return self.now

    def nanoseconds(self) -> int:
        """The same in whole nanoseconds."""
        return int(self.now * 1e9)


def test_a_rate_is_kept() -> None:
    """However often it is asked, as many events are due as the rate says, none twice."""
    clock = Clock()
    pace = Pace(1_000, clock)
    due = 0
    for tick in range(1, 5_000):
        clock.now = tick * 0.0137
        due += pace.due()
    assert due == int(clock.now * 1_000)


def test_a_slow_rate_is_kept() -> None:
    """One event in ten seconds is one event in ten seconds."""
    clock = Clock()
    pace = Pace(0.1, clock)
    due = []
    for second in range(1, 31):
        clock.now = second
        due.append(pace.due())
    assert due == [1 if second % 10 == 0 else 0 for second in range(1, 31)]


def test_a_hold_up_is_not_made_up_for() -> None:
    """After a minute without taking any, one second's worth is due, and then the rate goes on."""
    clock = Clock()
    pace = Pace(100, clock)
    clock.now = 60
    assert pace.due() == 100
    assert pace.due() == 0
    clock.now = 60.5
    assert pace.due() == 50


def test_now_is_never_in_the_future() -> None:
    """Events carry times between the last ones and now."""
    clock = Clock(1_000)
    stamps = NowStamps(clock.nanoseconds)
    last = clock.nanoseconds()
    for size in (1, 10, 500):
        clock.now += 0.25
        start, step = stamps.next(size)
        assert last <= start <= start + step * (size - 1) == clock.nanoseconds()
        last = clock.nanoseconds()


@pytest.mark.parametrize("back", [0, 5])
def test_a_clock_that_stands_or_goes_back(back: int) -> None:
    """A clock that does not advance gives all events its time."""
    clock = Clock(1_000)
    stamps = NowStamps(clock.nanoseconds)
    clock.now -= back
    assert stamps.next(7) == (clock.nanoseconds(), 0)


def test_fixed_times_go_on() -> None:
    """Fixed times are spaced evenly across calls."""
    stamps = FixedStamps(100, 5)
    assert [stamps.next(size) for size in (3, 1, 2)] == [(100, 5), (115, 5), (120, 5)]
