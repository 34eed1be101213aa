"""What limited users may do: `reader` may SELECT from the log tables, `views` SELECT from its table and INSERT into it.

The engine in chDB has no users or grants, and `readonly = 1` alone still lets a SELECT read files. So the engine's own
parser says what a statement names before any of it runs: `EXPLAIN AST` does not resolve or evaluate anything (`EXPLAIN
QUERY TREE` evaluates scalar subqueries, and its errors reveal their values).
"""

import hashlib
import re
from collections.abc import Iterator, Mapping

from native.front import sql
from native.front.engine import Connection
from native.front.errors import EngineError

# For both users, as in the profile `reader` of a server (compose/clickhouse/users.xml).
SETTINGS = {
    "max_execution_time": "20",
    "max_memory_usage": "1825361100",
    "max_bytes_before_external_group_by": "912680550",
    "max_bytes_before_external_sort": "912680550",
    "max_bytes_to_read": "1099511627776",
    "max_rows_in_set": "100000",
    "max_result_rows": "1000000",
    "max_result_bytes": "1073741824",
    "max_threads": "4",
    "max_ast_elements": "50000",
    "max_expanded_ast_elements": "500000",
}
# What a request may change, within these bounds: `changeable_in_readonly` there.
CHANGEABLE = {
    "max_execution_time": (1, 20),
    "max_memory_usage": (1, 1825361100),
    "max_threads": (1, 4),
    "os_threads_nice_value_query": (0, 19),
}
TABLES = {
    user: re.compile(
        rf"(?!system\.|information_schema\.)(?:\w+\.)?(?:{tables})|system\.(?:one|numbers|settings)", re.IGNORECASE
    )
    for user, tables in {"reader": r"otel_\w+|partition_progress", "views": "saved_views"}.items()
}
"""The tables that each user may SELECT from."""
# With the format JSONEachRow alone: Values evaluates expressions, which may call functions that read files.
_INSERT = re.compile(rb"INSERT INTO saved_views \([a-z_, ]+\)\s*")
# With it, the query API leaves out events for a role. It is an expression, which is checked like a statement.
FILTERS = "additional_table_filters"
# Not `values`: its argument is a text with expressions, which the tree does not show (`b String ALIAS file(a)`).
_TABLE_FUNCTIONS = {"numbers"}
# A name alone is enough: `arrayMap(file, ['/etc/passwd'])` calls one without parentheses. naiveBayesClassifier reads a
# dictionary, and aiGenerate sends what it is given to where a named collection says.
_FUNCTIONS = re.compile(
    r"file|dict.*|join_?get.*|catboost.*|.*connection.*|getmacro|getclienthttpheader|hascolumnintable|naivebayes.*|ai.*",
    re.IGNORECASE,
)
_NODE = re.compile(r"( *)([\w:]+)(?: (.*))?")
_CONFUSING = re.compile(rb"[\\\x00-\x1f]| \((?:alias|children) ")
_CHILDREN = re.compile(r" \(children \d+\)$")
_IN = re.compile(r"(?:global)?(?:not)?(?:null)?in(?:ignoreset)?", re.IGNORECASE)
_DIGITS = re.compile(rb"(?<![\w\x80-\xff])[0-9]+(?![\w\x80-\xff])")
# Where digits may be a part of something else: of a heredoc's tag, an escape, a text written in bits or bytes.
_WITH_OTHER_DIGITS = re.compile(rb"[$\\]|[bx]'", re.IGNORECASE)
_MOST_ADMITTED = 10_000
# Digests of statements that were found to name only what a user may read, whatever numbers they have.
_admitted: set[bytes] = set()


def settings(asked: Mapping[str, str]) -> dict[str, str]:
    """The settings, lowered as requested. Raises EngineError for any that the request may not change."""
    for name, text in asked.items():
        if SETTINGS.get(name) == text or name == FILTERS:
            continue
        if name not in CHANGEABLE:
            raise EngineError(164, f"Cannot modify '{name}' setting in readonly mode")
        lowest, highest = CHANGEABLE[name]
        if not re.fullmatch(r"\d{1,18}(?:\.\d{1,9})?", text) or not lowest <= float(text) <= highest:
            raise EngineError(452, f"Setting {name} should be between {lowest} and {highest}, not '{text[:40]}'")
    return {**SETTINGS, **asked}


def may_insert(user: str, insert: sql.Insert | sql.InsertFromInput) -> bool:
    """Whether it is a plain INSERT of JSON rows into the table that the user may INSERT into."""
    return (
        user == "views"
        and isinstance(insert, sql.Insert)
        and insert.format == b"JSONEachRow"
        and not insert.settings
        and _INSERT.fullmatch(insert.head) is not None
    )


def check(connection: Connection, user: str, text: bytes, parameters: Mapping[str, str]) -> None:
    """Raise EngineError unless it is a SELECT, or EXPLAIN AST of one, that names only what the user may read."""
    words = sql.first_words(text, 3)
    if words[:2] == (b"EXPLAIN", b"AST") and words[2:] in ((b"SELECT",), (b"WITH",), (b"(",)):
        return
    selected = sql.select(text)
    if selected is None:
        raise _denied("this user may only SELECT")
    digest = _digest(user, selected.head)
    if digest in _admitted:
        return
    # In ClickHouse's own words: without heredocs, comments, and Unicode's quotation marks, which hide quoted names.
    canonical = connection.run(
        b"SELECT formatQuerySingleLine(%s)" % sql.literal(selected.head), "TabSeparatedRaw"
    ).result
    # A line break in a name would look like a line of the printed tree; so would one in a parameter that is a name.
    names = [token.text for token in sql.tokens(canonical) if token.kind == "quoted"]
    always = b":Identifier}" not in canonical
    if not always:
        names += [value.encode(errors="replace") for value in parameters.values()]
    if any(map(_CONFUSING.search, names)):
        raise _denied("names with escapes, control characters, or what looks like a part of a syntax tree")
    tree = connection.run(b"EXPLAIN AST " + canonical, "TabSeparatedRaw", parameters).result.decode(errors="replace")
    for kind, name in _named(tree):
        if kind == "table" and not TABLES[user].fullmatch(name):
            if not _is_defined_here(connection, name):
                raise _denied(f"SELECT ON {name}")
            always = False
        if kind == "table function" and name.lower() not in _TABLE_FUNCTIONS:
            raise _denied(f"the table function {name}")
        if kind == "function" and _FUNCTIONS.fullmatch(name):
            raise _denied(f"the function {name}")
    if always and digest:
        if len(_admitted) >= _MOST_ADMITTED:
            _admitted.clear()
        _admitted.add(digest)


def _digest(user: str, text: bytes) -> bytes:
    """The same for statements that differ only in their numbers, as most of the query API's do, since no rule here
    depends on a number. Empty if it has digits that may mean more.
    """
    if _WITH_OTHER_DIGITS.search(text):
        return b""
    return hashlib.sha256(user.encode() + b":" + _DIGITS.sub(b"0", text)).digest()


def check_filters(connection: Connection, user: str) -> None:
    """Raise EngineError unless the connection has one filter, which names only what the user may read."""
    setting = b"getSetting('%s')" % FILTERS.encode()
    count = connection.run(b"SELECT length(%s)" % setting, "TabSeparatedRaw").result
    # Of several, one could hide another in a comment.
    if count.strip() != b"1":
        raise _denied("more than one filter")
    condition = connection.run(b"SELECT mapValues(%s)[1]" % setting, "TabSeparatedRaw").result
    check(connection, user, b"SELECT (%s)" % condition.removesuffix(b"\n"), {})


def _named(tree: str) -> Iterator[tuple[str, str]]:
    """What the printed tree names, as kind and name."""
    above: list[str] = []
    children = [0]
    # Only at line feeds, which a literal can't contain: other line separators are printed as they are.
    for printed in tree.rstrip("\n").split("\n"):
        line = _CHILDREN.sub("", printed)
        found = _NODE.fullmatch((line.endswith(")") and line.rpartition(" (alias ")[0]) or line)
        if found is None:
            raise _denied("a statement that is not understood")
        depth, kind, name = len(found[1]), found[2], found[3] or ""
        del above[depth:], children[depth + 1 :]
        children[depth] += 1
        grandparent, parent = ["", "", *above][-2:]
        # After IN, a lone name is a table's.
        behind_in = parent == "ExpressionList" and _IN.fullmatch(grandparent) and children[depth] > 1
        above.append(name if kind == "Function" else kind)
        children.append(0)
        if kind == "TableIdentifier" or (kind == "Identifier" and behind_in):
            yield "table", name
        elif kind == "Function" and parent == "TableExpression":
            yield "table function", name
        elif kind in ("Function", "Identifier"):
            yield "function", name
        elif kind == "ColumnsApplyTransformer":
            raise _denied("APPLY")


def _is_defined_here(connection: Connection, name: str) -> bool:
    """Whether it can only be a name that the statement itself defines: after WITH, or a column next to IN.

    In the database `default`, files are tables, too, which system.tables does not list.
    """
    return "." not in name and connection.run(b"EXISTS TABLE " + sql.identifier(name)).result == b"0\n"


def _denied(what: str) -> EngineError:
    return EngineError(497, f"Not enough privileges: {what}")
