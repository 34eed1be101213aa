"""One request's statement, run in its own thread while the event loop reads its result from a pipe."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from native.front import guard, revision, sql
from native.front.engine import QUERY_ID_SQL, SERVER_SETTINGS, Connection, Outcome, tag
from native.front.errors import EngineError
from native.front.sessions import Session

_READONLY = "Cannot execute query in readonly mode"
_GET_IMPLIES_READONLY = (
    _READONLY + ". For queries over HTTP, method GET implies readonly. You should use method POST for modifying queries"
)
_NOT_HERE = {(b"SYSTEM", b"SHUTDOWN"), (b"SYSTEM", b"KILL")}
_WITH_RESULT = set(b"SELECT WITH FROM ( SHOW DESCRIBE DESC EXISTS EXPLAIN CHECK KILL".split())
# Statements that put something on the disk, not those that remove something.
_WRITES = set(b"INSERT CREATE ALTER ATTACH RENAME EXCHANGE RESTORE BACKUP UPDATE DELETE".split())
_SYSTEM_PROCESSES = [b"SYSTEM", b".", b"PROCESSES"]


@dataclass(frozen=True)
class External:
    """A temporary table that comes with a request: its columns as SQL, and a file with its rows."""

    name: str
    structure: str
    format: str
    path: str


@dataclass(frozen=True)
class Statement:
    """What to run, and how. `data` is the file and codec of an INSERT's data."""

    text: bytes
    query_id: str
    default_format: str = "TabSeparated"
    parameters: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    database: str | None = None
    # 0, or the value of the setting `readonly`; -1 means the method GET.
    readonly: int = 0
    # Whose rights it runs with; "" for all.
    rights: str = ""
    # The result's compression: HTTP's, or the method of ClickHouse's own.
    compression: str | None = None
    in_blocks: str | None = None
    protocol_version: int = 0
    externals: Sequence[External] = ()
    insert: sql.Insert | sql.InsertFromInput | None = None
    data: tuple[str, str] | None = None

    @cached_property
    def result_format(self) -> str:
        """The format that the result has."""
        selected = sql.select(self.text) or sql.with_format(self.text)
        return self.default_format if selected.format is None else selected.format.decode()

    @property
    def has_result(self) -> bool:
        """Whether its answer is a table, even one without rows."""
        return sql.verb(self.text) in _WITH_RESULT

    @property
    def shows_progress(self) -> bool:
        """Whether its client wants progress reports while it runs."""
        return self.insert is None and self.settings.get("send_progress_in_http_headers", "0") not in ("0", "false")

    @property
    def writes(self) -> bool:
        """Whether it needs room on the disk."""
        return self.insert is not None or sql.verb(self.text) in _WRITES

    @property
    def reads(self) -> bool:
        """Whether it must leave slots for others: it neither writes nor ends another statement."""
        return not self.writes and sql.verb(self.text) != b"KILL"

    def prepare(self, connection: Connection, session: Session | None) -> None:
        """Apply the request's settings and database: to a connection that ends with it, or to be undone."""
        mark = {"log_comment": tag(self.query_id, self.settings.get("log_comment", ""))}
        if session is not None:
            session.apply({**self.settings, **mark}, self.database)
            for table in self.externals:
                session.temporary.append(table.name)
                _create(connection, table)
            return
        if self.rights:
            readonly = "0" if self.insert and guard.may_insert(self.rights, self.insert) else "1"
            connection.set({**SERVER_SETTINGS, **guard.settings(self.settings), **mark, "readonly": readonly})
        else:
            asked = {"readonly": str(self.readonly)} if self.readonly > 0 else {}
            connection.set({**SERVER_SETTINGS, **self.settings, **mark, **asked})
        if self.database is not None:
            connection.use(self.database)
        for table in self.externals:
            _create(connection, table)

    def run(self, connection: Connection, pipe: int, connect: Callable[[], Connection]) -> Outcome:
        """Run it to the end. A big result goes to the pipe (which stays open), a small one into the outcome."""
        if self.insert is not None:
            self._may_write()
            path, codec = self.data or ("/dev/null", "none")
            return connection.run(self.insert.from_file(path, codec), parameters=self.parameters)
        self._check(connection)
        text = _with_query_ids(self.text)
        selected = sql.select(text)
        with_revision = self.protocol_version >= revision.WITH_CUSTOM_SERIALIZATION and self.result_format == "Native"
        if selected is None:
            outcome = connection.run(text, self.default_format, self.parameters)
            return revision.convert(outcome, connect) if with_revision and outcome.result else outcome
        if with_revision:
            return revision.run(connection, selected, self.parameters, connect)
        outfile = selected.into_file(f"/dev/fd/{pipe}", self.default_format, self.compression)
        return connection.run(outfile, parameters=self.parameters)

    def _may_write(self) -> None:
        if self.readonly:
            raise EngineError(164, _GET_IMPLIES_READONLY if self.readonly < 0 else _READONLY)

    def _check(self, connection: Connection) -> None:
        """Refuse what a server would refuse, or what would harm this process."""
        kind, count = connection.classify(self.text)
        words = sql.first_words(self.text)
        if count == 0:
            connection.run(self.text, parameters=self.parameters)  # says what is wrong with it
            raise EngineError(62, "Syntax error: the query is empty or not a statement")
        if count > 1:
            raise EngineError(62, "Syntax error: Multi-statements are not allowed")
        if words in _NOT_HERE:
            raise EngineError(344, "The engine is stopped by its supervisor only: make local-down")
        if kind == "CONTROL" and words[0] in (b"SELECT", b"WITH", b"FROM", b"("):
            raise EngineError(48, "INTO OUTFILE is not allowed")
        if sql.verb(self.text) == b"INSERT" and any(token.text == b"INFILE" for token in sql.tokens(self.text)):
            raise EngineError(78, "FROM INFILE is not allowed: send the data with the request", "UNKNOWN_TYPE_OF_QUERY")
        if kind != "READ_ONLY" and words[0] != b"SET":
            self._may_write()
        # This comes last: it runs an EXPLAIN of the statement, which would obey an INTO OUTFILE.
        if self.rights:
            guard.check(connection, self.rights, self.text, self.parameters)
            if guard.FILTERS in self.settings:
                guard.check_filters(connection, self.rights)


def _create(connection: Connection, table: External) -> None:
    name = sql.identifier(table.name)
    connection.run(b"CREATE TEMPORARY TABLE %s (%s) ENGINE = Memory" % (name, table.structure.encode()))
    infile = sql.literal(table.path)
    connection.run(
        b"INSERT INTO %s FROM INFILE %s COMPRESSION 'none' FORMAT %s" % (name, infile, table.format.encode())
    )


def _with_query_ids(text: bytes) -> bytes:
    """The statement, changed so that it sees the clients' query ids where it looks for running statements."""
    lower = text.lower()
    if b"processes" not in lower and not lower.lstrip().startswith(b"kill"):
        return text
    found = list(sql.tokens(text))
    kill = found[0].text == b"KILL"
    parts, at = [], 0
    for index, token in enumerate(found):
        new, end = b"", token.end
        if kill and token.text == b"QUERY_ID":
            new = QUERY_ID_SQL
        elif (
            token.text in (b"FROM", b"JOIN")
            and [each.text for each in found[index + 1 : index + 4]] == _SYSTEM_PROCESSES
        ):
            end = found[index + 3].end
            after = found[index + 4].text if index + 4 < len(found) else b""
            alias = b"" if after == b"AS" else b" AS processes"
            new = token.text + b" (SELECT * REPLACE (" + QUERY_ID_SQL + b" AS query_id) FROM system.processes)" + alias
        if new:
            parts += [text[at : token.start], new]
            at = end
    return b"".join([*parts, text[at:]])
