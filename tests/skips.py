"""What a run skipped, summed up at its end: what to install for how many tests, and the other reasons.

With --no-other-skips, a test that is skipped for a reason that `expected_skips` in pyproject.toml does not list fails
the run.
"""

import re
from collections import Counter

import pytest

_INSTALL = re.compile(r"apt-get install ((?:[a-z0-9][a-z0-9.+-]* ?)+)")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The list, and the option that makes it binding."""
    parser.addini("expected_skips", "Regular expressions for the reasons for which a test may be skipped", "linelist")
    parser.addoption("--no-other-skips", action="store_true", help="fail if a test is skipped for another reason")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Make an unexpected skip a failure."""
    if exitstatus == pytest.ExitCode.OK and _unexpected(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was skipped."""
    for title, skipped in (("skipped", _skipped(config)), ("must not be skipped here", _unexpected(config))):
        if skipped:
            terminalreporter.section(title)
            terminalreporter.write("\n".join(summary(skipped)) + "\n")


def summary(skipped: Counter[str]) -> list[str]:
    """Lines with a count each, the largest first, and before them the command that installs all that is missing."""
    packages = {reason: found[1].split() for reason in skipped if (found := _INSTALL.search(reason))}
    lines = [f"{count:5d}  {reason}" for reason, count in skipped.most_common()]
    if packages:
        names = sorted({name for each in packages.values() for name in each})
        count = sum(skipped[reason] for reason in packages)
        lines.insert(0, f"{count:5d} of {skipped.total()} would run after: apt-get install {' '.join(names)}")
    return lines


def _skipped(config: pytest.Config) -> Counter[str]:
    """How many tests were skipped, by reason. Workers of xdist report to the process that prints."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    reports = reporter.stats.get("skipped", []) if reporter else []
    # An expected failure counts as skipped, too, and has no place in the source.
    reasons = (str(each.longrepr[2]) for each in reports if isinstance(each.longrepr, tuple))
    return Counter(reason.removeprefix("Skipped: ") for reason in reasons)


def _unexpected(config: pytest.Config) -> Counter[str]:
    if not config.getoption("no_other_skips"):
        return Counter()
    expected = [re.compile(each) for each in config.getini("expected_skips")]
    found = _skipped(config).items()
    return Counter({reason: count for reason, count in found if not any(each.search(reason) for each in expected)})
