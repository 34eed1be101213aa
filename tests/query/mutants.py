"""Take guards out, one at a time: a test must notice each. `python -m tests.query.mutants [NAME ...]`.

Each mutant is a copy of the repository with one text replaced. Exit status 0 if its test fails there, for all of them.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.components import REPOSITORY

STATEMENT = "service/logbrook/query/statement.py"
IDENTITY, ACCESS = "service/logbrook/query/access.py", "tests/query/test_access.py::test_"
GUARD = "tests/query/test_statement_guard.py::test_"
VIEWS = "tests/query/test_views.py::test_"
# By name: the file, what is replaced, by what, and the test that must fail.
MUTANTS = {
    "any_function": (STATEMENT, "if not functions.is_allowed(name):", "if False:", f"{GUARD}what_no_deadline_ends"),
    "any_table": (STATEMENT, "if not (name in TABLES", "if False and (name in TABLES", f"{GUARD}no_place_for_a_table"),
    "any_name": (STATEMENT, "_check_bare_names(tree)\n    _", "_", f"{GUARD}a_name_of_the_statement_hides_no_function"),
    "any_lambda": (STATEMENT, "in functions.WITH_A_LAMBDA", "in ()", f"{GUARD}no_place_for_an_expression"),
    "any_in": (STATEMENT, "if _IN.fullmatch(name)", "if False", f"{GUARD}everything_else_is_refused"),
    "any_scope": (STATEMENT, "not in scope:", "not in with_names.values():", f"{GUARD}a_name_of_the_statement"),
    "any_quoted_name": (STATEMENT, "[\\x00-\\x1f\\x7f]|`", "(?!)`", f"{GUARD}a_name_of_the_statement"),
    "any_apostrophe": (STATEMENT, "|(`(?:[^`\\\\]|\\\\.)*`)", "|(a`)", f"{GUARD}no_name_passes"),
    "any_size": (STATEMENT, "functions.SIZED.get(name.lower(), (None, 0))", "None, 0", f"{GUARD}sizes_are_bounded"),
    "any_pattern": (STATEMENT, "functions.PATTERN.get(name.lower())", "None", f"{GUARD}patterns_are_bounded"),
    "any_type": (STATEMENT, "in functions.TYPED", "in ()", f"{GUARD}no_state_of_an_aggregate"),
    "blocking": (STATEMENT, "    tree = _tree", "    __import__('time').sleep(2)\n    tree = _tree", f"{GUARD}nesting"),
    "no_second_wall": (
        *("compose/native/front/guard.py", 'if kind == "table" and', "if False and"),
        f"{GUARD}the_second_wall",
    ),
    "readers_tables": (
        *("compose/native/front/reading.py", "if form.files and asked.rights:", "if False:"),
        "tests/native/test_front.py::test_the_reader_brings_no_tables",
    ),
    "views_inserts": (
        *("compose/native/front/guard.py", 'and insert.format == b"JSONEachRow"', ""),
        "tests/native/test_front.py::test_the_user_of_views_does_nothing_else",
    ),
    "other_origins": (
        *("service/logbrook/query/http.py", 'return site != "same-origin" if site else', "return False if site else"),
        f"{VIEWS}no_other_page",
    ),
    "anyone_deletes": (
        *("service/logbrook/query/views.py", "if history[0].owner != self.caller:", "if False:"),
        f"{VIEWS}only_the_owner",
    ),
    "unseen_changes": (
        *("service/logbrook/query/views.py", "if (current.version if current else 0) != version:", "if False:"),
        f"{VIEWS}nobody_overwrites",
    ),
    "at_once": (
        *("service/logbrook/query/views.py", "changing = asyncio.Lock()", "changing = asyncio.Semaphore(9)"),
        f"{VIEWS}many_at_once",
    ),
    "early_place": (
        *("service/logbrook/query/engine.py", "while not await self._has_ended(query_id):", "while False:"),
        "tests/query/test_service_limits.py::test_only_a_sure_answer",
    ),
    "uncut_texts": (
        *("service/logbrook/query/events.py", "else _LISTED_VALUE)", "else 10**9)"),
        "tests/query/test_search_api.py::test_the_largest_events",
    ),
    "uncut_maps": (
        *("service/logbrook/query/events.py", "arrayCount(x -> x <= {_LISTED_TOGETHER}, ", "length("),
        "tests/query/test_search_api.py::test_the_largest_events",
    ),
    "patient": (
        *("service/logbrook/connection.py", "_in_head, self._head_bytes = True, 0", "_head_bytes = 0; return"),
        "tests/unit/test_connection.py::test_half_a_head",
    ),
    "unfiltered": (
        *("service/logbrook/query/engine.py", "own = {**own, **_filtered(self._condition)}", "own = dict(own)"),
        f"{ACCESS}no_route_tells_of_events",
    ),
    "filter_on_trust": (
        *("service/logbrook/query/engine.py", "if not learned.filters:", "if False:"),
        f"{ACCESS}a_clickhouse_that_can_not_filter",
    ),
    "any_filter": (
        *("compose/native/front/statement.py", "if guard.FILTERS in self.settings:", "if False:"),
        "tests/native/test_front.py::test_the_reader_may_leave_out",
    ),
    "any_permission": (
        *(IDENTITY, "if permission and not role.allows(permission):", "if False:"),
        f"{ACCESS}a_permission_is",
    ),
    "any_proxy": (
        *(IDENTITY, "return any(address in network", "return True or any(address in network"),
        f"{ACCESS}only_a_trusted_proxy",
    ),
    "two_identities": (IDENTITY, "if len(values) != 1:", "if not values:", f"{ACCESS}two_identities"),
    "raw_terminal": (
        *("service/logbrook/query/terminal.py", "    return _HIDDEN.sub(", "    return text or _HIDDEN.sub("),
        "tests/consumer/test_usage.py::test_no_service_steers",
    ),
}  # fmt: skip


def caught(name: str, copy: Path) -> str | None:
    """The first test that fails with the mutant."""
    file, old, new, test = MUTANTS[name]
    text = (REPOSITORY / file).read_text()
    assert text.count(old) == 1, f"{name}: {file} has {old!r} {text.count(old)} times"
    (copy / file).write_text(text.replace(old, new))
    module, _, function = test.partition("::")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--tb=no", module, "-k", function]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((f"{copy}/service", f"{copy}/compose", str(copy)))}
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    (copy / file).write_text(text)
    if done.returncode not in {0, 1} or "ERROR " in done.stdout:
        raise SystemExit(f"pytest could not run:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return next((line[7:] for line in done.stdout.splitlines() if line.startswith("FAILED ")), None)


def main(names: list[str]) -> int:
    """Try each; 1 if one survives."""
    survivors = []
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / "mutant"
        shutil.copytree(REPOSITORY, copy, ignore=shutil.ignore_patterns(".*", "__pycache__", "node_modules"))
        for name in names or MUTANTS:
            found = caught(name, copy)
            print(f"{name}: {f'caught by {found}' if found else 'SURVIVED'}"[:200], flush=True)
            survivors += [] if found else [name]
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
