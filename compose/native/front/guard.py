"""What the user `reader` may do: SELECT from the log tables, and nothing else.

The engine in chdb has no users and grants, and `readonly = 1` alone still lets a SELECT read files. So the engine's
own analyser says what a statement would touch, before it runs.
"""

import re
from collections.abc import Mapping

from native.front import sql
from native.front.engine import Connection
from native.front.errors import EngineError

# As in the reader's profile of a server: none of it can be changed by the statement.
SETTINGS = {
    "max_execution_time": "20",
    "max_memory_usage": "1825361100",
    "max_bytes_before_external_group_by": "912680550",
    "max_bytes_before_external_sort": "912680550",
    "max_bytes_to_read": "1099511627776",
    "max_result_rows": "1000000",
    "max_result_bytes": "1073741824",
    "max_threads": "4",
    "max_ast_elements": "50000",
    "max_expanded_ast_elements": "500000",
}
TABLES = re.compile(
    r"(?!system\.|information_schema\.)[^.]+\.`?otel_\w+`?|system\.(?:one|numbers|settings)", re.IGNORECASE
)
# Not `view`: the analyser does not look into it.
TABLE_FUNCTIONS = {"numbers", "values"}
_FUNCTIONS = re.compile(
    r"file|dict.*|join_?get.*|catboost.*|.*connection.*|getmacro|getclienthttpheader", re.IGNORECASE
)
_NODE = re.compile(
    rb"^\s*(?:TABLE id: .*?table_name: (?P<table>[^\n,]+)"
    rb"|TABLE_FUNCTION id: .*?table_function_name: (?P<table_function>\w+)"
    rb"|FUNCTION id: .*?function_name: (?P<function>\w+))",
    re.MULTILINE,
)


def check(connection: Connection, text: bytes, parameters: Mapping[str, str]) -> None:
    """Raise EngineError unless the statement is a SELECT that reads only what the reader may read."""
    selected = sql.select(text)
    if selected is None:
        raise EngineError(497, "reader: Not enough privileges: this user may only SELECT")
    # First without resolving anything: resolving evaluates constant expressions.
    for passes in (b"run_passes = 0", b"run_passes = 1"):
        tree = connection.run(
            b"EXPLAIN QUERY TREE " + passes + b" " + selected.head, "TabSeparatedRaw", parameters
        ).result
        for match in _NODE.finditer(tree):
            _check_node({kind: value.decode(errors="replace") for kind, value in match.groupdict(b"").items()})


def _check_node(node: dict[str, str]) -> None:
    if node["table"] and not TABLES.fullmatch(node["table"].strip()):
        raise EngineError(497, f"reader: Not enough privileges: SELECT ON {node['table'].strip()}")
    if node["table_function"] and node["table_function"].lower() not in TABLE_FUNCTIONS:
        raise EngineError(497, f"reader: Not enough privileges: the table function {node['table_function']}")
    if node["function"] and _FUNCTIONS.fullmatch(node["function"]):
        raise EngineError(497, f"reader: Not enough privileges: the function {node['function']}")
