"""One read-only SELECT of a user: parsed, checked against what is allowed, and written anew from the tree.

What ClickHouse gets is what was checked, never the text that came. The read-only user behind it refuses the same once
more. A list of what is allowed (tables) and one of what is not (functions that reach beyond the query) are enough,
because tables are the only way to other data, and table functions are no tables.
"""

import logging
import re
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from logbrook.errors import RejectedError

# It warns of what it can't parse; such a statement is refused, and its sender told.
logging.getLogger("sqlglot").setLevel(logging.ERROR)

MAX_CHARACTERS = 20_000
TABLES = frozenset({"otel_logs"})
# Functions that read files, dictionaries, other tables, the server's inside, or only burn time.
_FORBIDDEN = re.compile(
    r"dict\w*|joinget\w*|file|catboost\w*|model\w*|sleep\w*|getsetting\w*|getmacro|addressto\w*|demangle|hasthreadfuzzer|"
    r"executable\w*|input|url\w*table|s3\w*|remote\w*|cluster\w*|mysql|postgresql|mongodb|sqlite|odbc|jdbc|hdfs|"
    r"mergetree\w*|merge|loop|numbers\w*|generate\w*|view\w*|values|null|zeros\w*|fuzz\w*|currentuser|hostname|fqdn|"
    r"serveruuid|getserverport|getserversetting|getmergetreesetting|connectionid|initialqueryid|filesystem\w*|tcpport|"
    r"initial_query_id|query_id|evalmlmethod|trap|throwif|logtrace|showcertificate|currentprofiles|currentroles|"
    r"enabledprofiles|enabledroles|defaultprofiles|defaultroles|currentdatabase|currentschemas|buildid|uptime|ai\w*|"
    r"transactionid|displayname|getosksernelversion|getoskernelversion|zookeepersessionuptime|nontransactional\w*",
    re.IGNORECASE,
)
_STATEMENTS = (exp.Select, exp.Union, exp.Subquery)
_FORBIDDEN_PARTS = {
    exp.Into: "INTO",
    exp.Apply: "APPLY",
    exp.Lock: "a lock",
    exp.TableSample: "SAMPLE",
    exp.Values: "VALUES",
    exp.Parameter: "a parameter",
    exp.Placeholder: "a parameter",
    exp.SessionParameter: "a session parameter",
    exp.Command: "a command",
    exp.DDL: "a statement that changes something",
    exp.DML: "a statement that changes something",
}


def check(text: str, database: str, max_rows: int) -> str:
    """The statement to run for a user's SELECT, with a LIMIT of at most `max_rows` + 1 rows.

    Raises RejectedError (400) with what is not allowed, and where it is known, the character from 0.
    """
    if len(text) > MAX_CHARACTERS:
        raise _refused(f"the statement has more than {MAX_CHARACTERS} characters")
    tree = _parsed(text)
    if not isinstance(tree, _STATEMENTS):
        raise _refused(f"expected one SELECT, found {tree.key.upper()}")
    _check_parts(tree)
    _check_tables(tree, database)
    limited = exp.select("*").from_(tree.subquery("result")) if not isinstance(tree, exp.Select) else tree
    return _limited(limited, max_rows).sql(dialect="clickhouse", comments=False)


def _refused(message: str, **place: int) -> RejectedError:
    return RejectedError(400, "sql_not_allowed", message, **place)


def _parsed(text: str) -> exp.Expr:
    try:
        statements = [each for each in sqlglot.parse(text, dialect="clickhouse") if each is not None]
    except SqlglotError as error:
        first: dict[str, Any] = next(iter(getattr(error, "errors", [])), {})
        message = first.get("description") or str(error).splitlines()[0]
        line, column = first.get("line"), first.get("col")
        where = f" (line {line}, column {column})" if line else ""
        raise RejectedError(400, "sql_syntax", f"{message}{where}") from None
    except RecursionError:
        raise _refused("the statement is nested too deeply") from None
    if len(statements) != 1:
        raise _refused("expected exactly one SELECT")
    return statements[0]


def _check_parts(tree: exp.Expr) -> None:
    """Nothing in the tree may be of a kind that does more than select, or call what reaches further."""
    for node in tree.walk():
        for kind, name in _FORBIDDEN_PARTS.items():
            if isinstance(node, kind):
                raise _refused(f"{name} is not allowed")
        for clause in ("settings", "format", "into", "sample"):
            if node.args.get(clause):
                raise _refused(f"{clause.upper()} is not allowed")
        if isinstance(node, exp.In):
            _check_in(node)
        if isinstance(node, exp.Func):
            _check_function(node)


def _check_in(node: exp.In) -> None:
    """A lone name behind IN, in brackets or not, is the name of a table for ClickHouse."""
    items = node.expressions
    lone = items[0].unnest() if len(items) == 1 and isinstance(items[0], exp.Expr) else None
    while isinstance(lone, exp.Tuple) and len(lone.expressions) == 1:
        lone = lone.expressions[0].unnest()
    if node.args.get("field") is not None or isinstance(lone, exp.Column | exp.Dot | exp.Identifier | exp.Table):
        raise _refused("IN takes a list of values or a SELECT in brackets, not the name of a table")


def _check_function(node: exp.Func) -> None:
    names = {node.name} if isinstance(node, exp.Anonymous | exp.AnonymousAggFunc) else set(node.sql_names())
    if isinstance(node, exp.AnonymousAggFunc | exp.CombinedAggFunc):
        names.add(str(node.this))
    for name in names:
        if _FORBIDDEN.fullmatch(str(name)):
            raise _refused(f"the function {name} is not allowed")
        if isinstance(node, exp.Anonymous) and re.fullmatch(
            r"(?:not|global\w*)?(?:null)?in(?:ignoreset)?", name, re.IGNORECASE
        ):
            raise _refused("write IN as an operator, not as a function")


def _check_tables(tree: exp.Expr, database: str) -> None:
    """Every table is an allowed one, or a WITH of the whole statement that stands before."""
    scope: set[str] = set()
    outer = tree.args.get("with_") or tree.args.get("with")
    if outer is not None:
        if outer.args.get("recursive"):
            raise _refused("WITH RECURSIVE is not allowed")
        for each in outer.expressions:
            _check_names(each.this, scope, database)
            if isinstance(each.this, exp.Query):
                scope.add(each.alias)
    for nested in tree.find_all(exp.With):
        if nested is not outer:
            raise _refused("WITH is allowed at the beginning of the statement only")
    _check_names(tree, scope, database, skip=outer)


def _check_names(tree: exp.Expr, scope: set[str], database: str, skip: exp.Expr | None = None) -> None:
    for table in tree.find_all(exp.Table):
        if skip is not None and table.find_ancestor(exp.With) is skip:
            continue
        if not isinstance(table.this, exp.Identifier):
            raise _refused("table functions are not allowed; the tables are " + ", ".join(sorted(TABLES)))
        qualifiers = [part.name for part in table.parts[:-1]]
        known = table.name in TABLES and qualifiers in ([], [database])
        if not known and not (table.name in scope and not qualifiers):
            name = ".".join(part.name for part in table.parts)
            raise _refused(f"the table {name} is not allowed; the tables are " + ", ".join(sorted(TABLES)))


def _limited(tree: exp.Select, max_rows: int) -> exp.Select:
    """The statement with its own LIMIT if that is a small enough number, else within one."""
    limit = tree.args.get("limit")
    if limit is None:
        return tree.limit(max_rows + 1)
    value = limit.expression if isinstance(limit, exp.Limit) else None
    if isinstance(value, exp.Literal) and value.is_int and int(value.name) <= max_rows:
        return tree
    return exp.select("*").from_(tree.subquery("result")).limit(max_rows + 1)
