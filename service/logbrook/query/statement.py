"""One read-only SELECT of a user: ClickHouse's own parser says what it names, and all of that must be allowed.

Parsing SQL with another parser than the one that runs it leaves gaps between the two. So ClickHouse is asked twice
before it runs anything: `formatQuerySingleLine` for the statement in its canonical form, and `EXPLAIN AST` for the
syntax tree of exactly the text that is then run. Neither resolves a name nor executes a part of the statement
(`EXPLAIN QUERY TREE`, `EXPLAIN SYNTAX` and `DESCRIBE` do: they evaluate scalar subqueries).

The tree has to consist of known kinds of nodes; its tables, of `otel_logs` and the statement's own WITH; its functions,
of those in functions.py. The rights of the reading user are the second wall, which holds by itself.
"""

import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from logbrook.errors import RejectedError
from logbrook.query import functions
from logbrook.query.filters import Parameters
from logbrook.query.refusals import BadRequestError

MAX_CHARACTERS = 20_000
MAX_NODES = 5_000
MAX_DEPTH = 300
TABLES = frozenset({"otel_logs"})

Ask = Callable[[str, dict[str, str]], Awaitable[str]]
"""Runs a statement with parameters on ClickHouse as the reading user; returns the lines of its only column."""

_KINDS = {
    *("SelectWithUnionQuery", "SelectIntersectExceptQuery", "SelectQuery", "Subquery", "WithElement"),
    *(
        "TablesInSelectQuery",
        "TablesInSelectQueryElement",
        "TableExpression",
        "TableIdentifier",
        "TableJoin",
        "ArrayJoin",
    ),
    *("ExpressionList", "Identifier", "Function", "Literal", "Asterisk", "QualifiedAsterisk"),
    *("ColumnsRegexpMatcher", "ColumnsListMatcher", "QualifiedColumnsRegexpMatcher", "QualifiedColumnsListMatcher"),
    *("ColumnsTransformerList", "ColumnsExceptTransformer"),
    *("ColumnsReplaceTransformer", "ColumnsReplaceTransformer::Replacement"),
    *("OrderByElement", "InterpolateElement", "WindowDefinition", "WindowListElement"),
}
_NAMES = {
    "Set": "SETTINGS",
    "SampleRatio": "SAMPLE",
    "ColumnsApplyTransformer": "APPLY",
    "QueryParameter": "a parameter",
}
_NODE = re.compile(r"( *)([\w:]+)(?: (.*))?")
_CHILDREN = re.compile(r" \(children \d+\)$")
# A text or a name: an apostrophe in a name begins no text. The group is the name.
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|(`(?:[^`\\]|\\.)*`)")
_WITH_NAME = re.compile(r"(?<![`.\w])(\w+) AS (?:MATERIALIZED )?\((?=SELECT|WITH|\()", re.ASCII)
_IN = re.compile(r"(?:global)?(?:not)?(?:null)?in(?:ignoreset)?", re.IGNORECASE)


@dataclass
class Node:
    """A node of ClickHouse's syntax tree, as EXPLAIN AST prints it."""

    kind: str
    text: str
    alias: str
    children: list["Node"] = field(default_factory=list)

    def walk(self) -> Iterator["Node"]:
        """This node and all below it, in the order of the text."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(reversed(node.children))

    @property
    def arguments(self) -> list["Node"]:
        """The arguments of a function."""
        return self.children[0].children if self.children else []


async def check(text: str, database: str, max_rows: int, ask: Ask) -> str:
    """The statement to run for a user's SELECT: the same, with at most `max_rows` + 1 rows.

    Raises RejectedError (400) that says what is not allowed; ClickHouse's own errors about the syntax pass through.
    """
    if len(text) > MAX_CHARACTERS:
        raise _refused(f"the statement has more than {MAX_CHARACTERS} characters")
    try:
        bound = Parameters()
        canonical = (await ask(f"SELECT formatQuerySingleLine({bound.text(text)})", bound.values)).rstrip("\n")
    except RejectedError as error:
        # After the reason comes the statement that asked, which is ours.
        raise BadRequestError("sql_syntax", str(error).split(": In scope SELECT formatQuery")[0]) from None
    if not re.match(r"(?:\(*SELECT|WITH)\b", canonical):
        raise _refused("expected one SELECT")
    # A name with a line break or an escape in it could pass for a node of its own in the printed tree.
    if re.search(r"[\x00-\x1f\x7f]|`[^`]*(?:\\| \((?:alias|children) )[^`]*`", _QUOTED.sub(r"\1", canonical)):
        raise _refused("quoted names may not hold control characters, backslashes, '(alias ' or '(children '")
    statement = f"SELECT * FROM ({canonical}) LIMIT {max_rows + 1:d}"
    tree = _tree(await ask(f"EXPLAIN AST {statement}", {}))
    _check(tree, statement, database)
    return statement


def _refused(message: str) -> BadRequestError:
    return BadRequestError("sql_not_allowed", message)


def _tree(printed: str) -> Node:
    """The printed tree as nodes: each line's indentation is its depth."""
    lines = printed.rstrip("\n").split("\n")
    if len(lines) > MAX_NODES:
        raise _refused(f"the statement has more than {MAX_NODES} parts")
    path: list[Node] = []
    for each in lines:
        # From its end, and without a pattern that tries every place: a text in it may hold a thousand of these words.
        line, alias = _CHILDREN.sub("", each), ""
        if line.endswith(")") and " (alias " in line:
            line, _, alias = line[:-1].rpartition(" (alias ")
        found = _NODE.fullmatch(line)
        if found is None or len(found[1]) > len(path) or bool(path) != bool(found[1]):
            raise _refused("the statement has a part that is not understood")
        node = Node(found[2], found[3] or "", alias)
        del path[len(found[1]) :]
        if path:
            path[-1].children.append(node)
        path.append(node)
        if len(path) > MAX_DEPTH:
            raise _refused("the statement is nested too deeply")
    return path[0]


def _check(tree: Node, statement: str, database: str) -> None:
    """Raise RejectedError unless everything that the tree names is allowed."""
    nodes = list(tree.walk())
    for node in nodes:
        if node.kind not in _KINDS:
            raise _refused(f"{_NAMES.get(node.kind, node.kind)} is not allowed")
        if node.kind == "TableExpression" and node.children[0].kind == "Function":
            raise _refused("table functions are not allowed; the tables are " + ", ".join(sorted(TABLES)))
        if node.kind == "Function":
            _check_function(node)
    _check_bare_names(tree)
    _check_tables(tree, _with_names(nodes, statement), database)


def _check_bare_names(tree: Node) -> None:
    """A name that could be a function's is a column of the same SELECT: of its lists, or of a subquery after FROM."""
    waiting: list[tuple[Node, set[str]]] = [(tree, set())]
    while waiting:
        node, columns = waiting.pop()
        if node.kind == "SelectQuery":
            columns = _aliases(node)
            for table in (
                each for child in node.children if child.kind == "TablesInSelectQuery" for each in child.children
            ):
                for source in (
                    each for child in table.children if child.kind == "TableExpression" for each in child.children
                ):
                    # A UNION has the names of its first SELECT.
                    columns |= _aliases(next((each for each in source.walk() if each.kind == "SelectQuery"), source))
        elif node.kind == "Identifier" and node.text.lower() in functions.BARE and node.text not in columns:
            raise _refused(f"{node.text} is not allowed")
        waiting += [(child, columns) for child in node.children]


def _aliases(select: Node) -> set[str]:
    """The names that a SELECT gives to the expressions of its own lists."""
    return {each.alias for child in select.children if child.kind == "ExpressionList" for each in child.children} - {""}


def _check_function(node: Node) -> None:
    name, arguments = node.text, node.arguments
    # After IN, ClickHouse reads a lone name as a table's.
    if _IN.fullmatch(name) and (len(arguments) != 2 or arguments[1].kind in ("Identifier", "TableIdentifier")):
        raise _refused("IN takes a list of values or a SELECT in brackets, not the name of a table")
    if not functions.is_allowed(name):
        raise _refused(f"the function {name} is not allowed")
    if name.lower() in functions.WITH_A_LAMBDA and len(arguments) > 1 and arguments[0].kind == "Identifier":
        raise _refused(f"{name} takes a lambda: x -> ...")
    if name.lower() in functions.TYPED and arguments:
        # A crafted state of an aggregate function is read by code that trusts it.
        kind = arguments[-1]
        # Its name may be quoted, and an escape in quotes stands for any letter of it. The tree doubles backslashes.
        if kind.kind != "Literal" or "AggregateFunction" in kind.text or "\\\\" in kind.text:
            raise _refused(f"{name} takes its type as text, and none of aggregate functions or with backslashes")
    if (at := functions.PATTERN.get(name.lower())) is not None and at < len(arguments):
        pattern = arguments[at]
        if pattern.kind != "Literal" or len(pattern.text) > functions.MAX_PATTERN_CHARACTERS:
            raise _refused(f"{name} takes its pattern as text of at most {functions.MAX_PATTERN_CHARACTERS} characters")
    place, most = functions.SIZED.get(name.lower(), (None, 0))
    for size in arguments[place] if place is not None else []:
        if size.kind == "Literal" and (number := re.fullmatch(r"U?Int64_(-?\d+)", size.text)):
            if abs(int(number[1])) > most:
                raise _refused(f"{name} takes a number of at most {most}")
        else:
            raise _refused(f"{name} takes its size as a plain number")


def _with_names(nodes: list[Node], statement: str) -> dict[int, str]:
    """By the id() of each WITH element: its name, which the printed tree leaves out.

    In the canonical text the names stand in the order of the tree's elements, before `AS (SELECT`.
    """
    elements = [node for node in nodes if node.kind == "WithElement"]
    text = _QUOTED.sub("''", statement)
    names = _WITH_NAME.findall(text)
    if "WITH RECURSIVE " in text:
        raise _refused("WITH RECURSIVE is not allowed")
    # INTERPOLATE (x AS (SELECT ...)) would look like one.
    if len(names) != len(elements) or any(
        node.kind == "InterpolateElement" and node.children[0].kind == "Subquery" for node in nodes
    ):
        raise _refused("the names behind WITH are plain words, without lists of columns")
    return {id(element): name for element, name in zip(elements, names, strict=True)}


def _check_tables(tree: Node, with_names: dict[int, str], database: str) -> None:
    """Every table is an allowed one, or a WITH that stands before it in a SELECT around it; and it is not too much.

    ClickHouse puts a copy of a WITH wherever its name stands, and does not look at its deadline meanwhile.
    """
    if _expanded(tree, {}, with_names, database) > MAX_NODES:
        raise _refused(f"with each WITH written out wherever its name stands, it has more than {MAX_NODES} parts")


def _expanded(node: Node, scope: dict[str, int], with_names: dict[int, str], database: str) -> int:
    """How many nodes there are with a copy of each WITH wherever its name stands; `scope` has those of each WITH."""
    if node.kind == "TableIdentifier":
        qualifier, _, name = node.text.rpartition(".")
        if not (name in TABLES and qualifier in ("", database)) and node.text not in scope:
            raise _refused(f"the table {node.text} is not allowed; the tables are " + ", ".join(sorted(TABLES)))
        return scope.get(node.text, 1)
    count = 1
    for child in node.children:
        # The list after WITH comes first; each of its elements sees those before it.
        parts = child.children if any(each.kind == "WithElement" for each in child.children) else [child]
        for part in parts:
            size = _expanded(part, scope, with_names, database)
            count += size
            if part.kind == "WithElement":
                scope = {**scope, with_names[id(part)]: size}
    return count
