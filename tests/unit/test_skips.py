"""What a run leaves out is summed up at its end, and in CI it may only be what is listed."""

import pytest

TESTS = """
    import pytest

    @pytest.mark.parametrize("number", range(3))
    @pytest.mark.skipif(True, reason="promtool is not installed: apt-get install prometheus")
    def test_rules(number):
        pass

    def test_browser():
        pytest.skip("no browser: apt-get install chromium chromium-driver")

    @pytest.mark.skip(reason="runs in `make faults`")
    def test_long():
        pass
"""


@pytest.fixture
def run(pytester: pytest.Pytester) -> pytest.Pytester:
    """A directory with these tests, whose settings expect one of the reasons."""
    pytester.makepyfile(TESTS)
    pytester.makeini("[pytest]\nexpected_skips =\n    make faults\n    apt-get install chromium")
    return pytester


def test_skips_are_summed_up_by_what_to_install(run: pytest.Pytester) -> None:
    """One command for all that is missing, then each reason with its count."""
    result = run.runpytest("-p", "tests.skips")
    result.stdout.fnmatch_lines(
        [
            "*= skipped =*",
            "    4 of 5 would run after: apt-get install chromium chromium-driver prometheus",
            "    3  promtool is not installed: apt-get install prometheus",
            "    1  no browser: apt-get install chromium chromium-driver",
            "    1  runs in `make faults`",
        ]
    )
    assert result.ret == pytest.ExitCode.OK


def test_another_skip_fails_in_ci(run: pytest.Pytester) -> None:
    """What is not on the list is named, and fails the run."""
    result = run.runpytest("-p", "tests.skips", "--no-other-skips")
    result.stdout.fnmatch_lines(["*= must not be skipped here =*", "    3 of 3 would run*prometheus"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_expected_skips_pass_in_ci(run: pytest.Pytester) -> None:
    """What is on the list does no harm."""
    result = run.runpytest("-p", "tests.skips", "--no-other-skips", "-k", "not rules")
    result.stdout.no_fnmatch_line("*must not be skipped*")
    assert result.ret == pytest.ExitCode.OK
