"""Take parts of the protocol out, one at a time: a fault test must notice each.

`PYTHONPATH=compose python -m tests.faults.mutants [NAME ...]`; without names, all of them (`make faults-mutants`).

Exit status 0 if, with nothing taken out, all of these tests pass, and each mutant makes one of its tests fail.
"""

import os
import subprocess
import sys

from tests.faults.killing import MUTANTS
from tests.faults.processes import REPOSITORY
from tests.native.mutants import MUTANTS as FRONT_MUTANTS

# Where a mutant is most likely noticed. The first test that fails is enough.
TESTS: dict[str, tuple[str, ...]] = {
    "no_fence": ("test_rebalances.py::test_stopped_before_its_insert",),
    "no_drain": ("test_rebalances.py::test_taken_over_in_the_middle_of_an_insert",),
    "no_set_difference": ("test_kills.py::test_killed_at_every_point",),
    "maximum_instead_of_set": ("test_messages.py::test_hole_below_what_is_stored",),
    "commit_before_insert": ("test_kills.py::test_killed_at_every_point",),
    "blind_resend": ("test_clickhouse.py::test_connection_breaks[lose_reply]",),
    "library_resend": ("test_clickhouse.py::test_connection_breaks[lose_reply]",),
    "whole_batch_again": ("test_clickhouse.py::test_too_slow_for_the_timeout",),
    "committed_instead_of_held": ("test_rebalances.py::test_given_up_and_back_while_inserting",),
    "commit_hides_what_is_ahead": ("test_kills.py::test_killed_long_after_the_one_before",),
    "no_keys": ("test_messages.py::test_repeated_keys",),
    "keys_as_given": ("test_messages.py::test_a_backlog_of_keyed_messages[1000-20000]",),
    "all_keys_at_a_time": ("test_messages.py::test_a_backlog_of_keyed_messages[30000-32]",),
    "no_bound_of_names": ("../schema/test_too_many_names.py::test_an_event_of_tens_of_thousands_of_names_is_stored",),
    "nothing_waits": ("../consumer/test_progress.py::test_what_does_not_move_is_not_called_well",),
    "no_topic_check": ("test_brokers.py::test_topic_created_anew",),
    "no_forgetting": ("test_rebalances.py::test_given_up_and_back_while_inserting",),
    "pause_stays": ("test_rebalances.py::test_revoked_while_paused",),
    "own_clock": ("test_kills.py::test_killed_with_a_wrong_clock",),
    "early_completeness": ("test_completeness.py::test_answers_keep_their_word",),
    "never_raw": ("test_messages.py::test_refused_whatever_the_reason[300]",),
    "no_disk_check": ("../native/test_full_disk.py::test_an_insert_that_meets_a_full_disk_fails",),
    "no_disk_reserve": ("../native/test_full_disk.py::test_an_insert_begins_only_if_there_is_room",),
    "no_mending": ("../native/test_full_disk.py::test_a_definition_that_was_cut_short_is_set_aside",),
    "hangs_on": ("../native/test_supervisor.py::test_one_that_hangs_is_started_again",),
    "early_acknowledgement": ("test_gateways.py::test_killed_after_produce",),
}


def fails(mutant: str | None, *tests: str) -> str | None:
    """The first test that fails without that part of the protocol."""
    environment = {
        **os.environ,
        "SEED": os.environ.get("SEED", "1"),
        "FAULTS_LONG": "1",
        **({"FAULT_MUTANT": mutant} if mutant else {}),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--tb=line"]
    command += ["-p", "tests.faults.killing"]
    paths = [f"tests/faults/{test}" for test in tests]
    done = subprocess.run(
        [*command, *paths], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode not in {0, 1}:
        raise SystemExit(f"pytest could not run:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED ")]
    if done.returncode and not failed:
        raise SystemExit(f"the tests did not get so far:\n{done.stdout[-3000:]}")
    return failed[0].removeprefix("FAILED ") if failed else None


def main(names: list[str]) -> int:
    """Try each mutant, after all of the tests have passed without one."""
    assert TESTS.keys() == MUTANTS.keys() | FRONT_MUTANTS.keys(), "each mutant has its tests"
    chosen = names or list(TESTS)
    tests = sorted({test for name in chosen for test in TESTS[name]})
    if (broken := fails(None, *tests)) is not None:
        print(f"with nothing taken out, this fails: {broken}")
        return 1
    print(f"nothing taken out: {len(tests)} groups of tests pass", flush=True)
    survivors = []
    for name in chosen:
        noticed = fails(name, *TESTS[name])
        print(f"{name}: {f'caught by {noticed}' if noticed else 'SURVIVED'}"[:300], flush=True)
        if noticed is None:
            survivors.append(name)
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
