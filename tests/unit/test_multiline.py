"""Which lines belong together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbrook.multiline import group, may_continue, open_from

LINES = st.lists(
    st.sampled_from(
        [b"", b"  ", b"a", b" a", b"\ta", b"at f(x)", b"Caused by: y", b"... 3 more",
         b"Traceback (most recent call last):", b"E: x"]
    ),
    max_size=12,
)  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "events"),
    [
        ([], []),
        ([b""], []),
        ([b"a", b"b"], [(0, 1), (1, 2)]),
        ([b"  a", b"b"], [(0, 1), (1, 2)]),
        ([b"a", b"\tat b", b"c"], [(0, 2), (2, 3)]),
        ([b"a", b"", b"b"], [(0, 1), (2, 3)]),
        ([b"a", b"", b"  b"], [(0, 3)]),
        ([b"a", b"Traceback (most recent call last):", b"  f", b"E: x", b"b"], [(0, 4), (4, 5)]),
        ([b"Traceback (most recent call last):", b"  f", b"E: x", b"b"], [(0, 3), (3, 4)]),
        ([b"Nov 26, 2026 1:00:00 PM a.B run", b"SEVERE: x", b"INFO: y"], [(0, 2), (2, 3)]),
        ([b"created by jane", b"at 12:00 done", b"x.YException: a"], [(0, 1), (1, 2), (2, 3)]),
    ],
)
def test_events_of_lines(lines: list[bytes], events: list[tuple[int, int]]) -> None:
    """Indented lines, frames and causes join the line before; blank lines count only inside of an event."""
    assert group(lines) == events


TRACES = {
    "Java": b"""\
12:00:00 ERROR boom
java.lang.IllegalStateException: no
\tat a.B.c(B.java:1)
Caused by: d.E: f
\t... 12 more""",
    "Java with a message of several lines": b"""\
12:00:00 ERROR boom
java.lang.IllegalStateException: no
not at all
\tat a.B.c(B.java:1)
Wrapped by: d.E: f
\tat a.B.d(B.java:2)""",
    "Python": b"""\
12:00:00 ERROR boom
Traceback (most recent call last):
  File "x"
KeyError: 'a'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "x"
shop.PayError: no""",
    "Go": b"""\
panic: boom

goroutine 1 [running]:
main.pay(0xc0, 0x3)
\t/app/main.go:8 +0x1d
main.main()
\t/app/main.go:3 +0x1
exit status 2""",
    "Node": b"""\
12:00:00 error: boom
Error: connect ECONNREFUSED
    at TCP.after (node:net:1555:16) {
  errno: -111
}""",
    ".NET": b"""\
12:00:00 [ERR] boom
System.InvalidOperationException: no
   at Shop.Pay() in /src/Shop.cs:line 40
--- End of stack trace from previous location ---
   at Shop.Main()""",
    ".NET with an inner exception": b"""\
12:00:00 [ERR] boom
System.AggregateException: One or more
 ---> System.InvalidOperationException: no
   at Shop.Pay()
   --- End of inner exception stack trace ---""",
    "Node, uncaught": b"""\
/app/a.js:3
    throw new Error("x");
    ^

Error: x
    at Object.<anonymous> (/app/a.js:3:1)

Node.js v20.1.0""",
    "Rails": b"""\
F, [12:00:00 #7] FATAL -- : [req-1]
RuntimeError (cannot pay):

app/controllers/cart.rb:3:in `pay'""",
    "Elixir": b"""\
12:00:00 [error] GenServer terminating
** (RuntimeError) boom
    (app 0.1.0) lib/app.ex:3: App.run/1""",
    "Ruby": b"""\
12:00:00 ERROR boom (RuntimeError)
app.rb:3:in 'pay'
/usr/lib/ruby/x.rb:7:in `block in run'
\tfrom app.rb:9:in 'main'""",
    "PHP": b"""\
PHP Fatal error:  Uncaught Exception: no in /app/x.php:3
Stack trace:
#0 /app/x.php(7): pay()
#1 {main}
  thrown in /app/x.php""",
    "Rust": b"""\
thread 'main' panicked at src/main.rs:4:5:
index out of bounds
stack backtrace:
   0: begin
             at /rustc/x
note: run with `RUST_BACKTRACE=1` environment variable""",
}


@pytest.mark.parametrize("language", TRACES)
def test_a_trace_is_one_event(language: str) -> None:
    """With the exception's own line, and with what is logged before it; the next line is not part of it."""
    lines = [b"12:00:00 INFO before", *TRACES[language].split(b"\n"), b"12:00:01 INFO next"]
    assert may_continue(b"\n".join(lines))
    assert group(lines) == [(0, 1), (1, len(lines) - 1), (len(lines) - 1, len(lines))]


def test_a_heading_may_belong_to_the_line_before() -> None:
    """Where lines end with the name of an exception, what comes next decides: the line before it is not whole yet."""
    lines = [b"a", b"b", b"x.YException: z"]
    assert open_from(lines, group(lines)) == 1
    lines = [b"a", b"b", b"x.YException: z", b"more of its message"]
    assert open_from(lines, group(lines)) == 1
    lines.pop()
    assert open_from(lines[:2], group(lines[:2])) == 1


@given(LINES)
def test_every_line_that_is_not_blank_is_in_one_event(lines: list[bytes]) -> None:
    """Events follow each other without overlap, begin and end with a line that is not blank, and leave none out."""
    covered = [number for first, last in group(lines) for number in range(first, last)]
    assert covered == sorted(set(covered))
    assert {number for number, line in enumerate(lines) if line.strip()} <= set(covered)
    for first, last in group(lines):
        assert lines[first].strip()
        assert lines[last - 1].strip()


@given(LINES)
def test_the_hint_is_never_wrong(lines: list[bytes]) -> None:
    """Where no line may continue one before, each is an event."""
    if not may_continue(b"\n".join(lines)):
        assert group(lines) == [(number, number + 1) for number, line in enumerate(lines) if line.strip()]
