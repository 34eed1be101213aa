"""What `make local-status` shows on a terminal as narrow as they come."""

import io

from rich.console import Console

from native import summary


def test_a_process_is_a_line_at_80_columns() -> None:
    """However long it runs and however much it takes; what is wrong with one stands below, in one piece."""
    reason = "does not answer; started again after 60 s of it " + "x" * 60
    found = [
        summary.Row("prometheus", "not answering", 4_194_304, 65535, 359_999, 9999 * 2**20, 100, reason),
        summary.Row("zookeeper", "ready", 4_194_303, 2181, 359_999, 120 * 2**20, 0, ""),
    ]
    out = io.StringIO()

    summary.tell(found, Console(file=out, width=80))

    heading, first, second, below = out.getvalue().splitlines()
    assert heading.split() == ["process", "state", "pid", "port", "up", "memory", "restarts"]
    assert max(map(len, (heading, first, second))) <= 80
    assert first.split()[-4:] == ["min", "9,999", "MiB", "100"]
    assert below == f"prometheus: {reason}"
