"""One statement of a request, run in a thread of its own while the event loop reads its result from a pipe."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from native.front import sql
from native.front.engine import QUERY_ID_SQL, Connection, Outcome, tag
from native.front.errors import EngineError

_GET_IMPLIES_READONLY = (
    "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly. "
    "You should use method POST for modifying queries"
)
_NOT_HERE = {(b"SYSTEM", b"SHUTDOWN"), (b"SYSTEM", b"KILL")}


@dataclass(frozen=True)
class Statement:
    """What to run, and how. `data` is the file and codec of an INSERT's data."""

    text: bytes
    query_id: str
    default_format: str = "TabSeparated"
    parameters: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    database: str | None = None
    readonly: bool = False
    compression: str | None = None
    insert: sql.Insert | None = None
    data: tuple[str, str] | None = None

    def prepare(self, connection: Connection) -> None:
        """Apply the request's settings and database to a connection that ends with it."""
        comment = tag(self.query_id, self.settings.get("log_comment", ""))
        connection.set({**self.settings, "log_comment": comment})
        if self.database is not None:
            connection.use(self.database)

    def run(self, connection: Connection, pipe: int) -> Outcome:
        """Run it to the end. A big result goes into the pipe (which stays open), a small one into the outcome."""
        if self.insert is not None:
            if self.readonly:
                raise EngineError(164, _GET_IMPLIES_READONLY)
            path, codec = self.data or ("/dev/null", "none")
            return connection.run(self.insert.from_file(path, codec), parameters=self.parameters)
        self._check(connection)
        text = _with_query_ids(self.text)
        selected = sql.select(text)
        if selected is None:
            return connection.run(text, self.default_format, self.parameters)
        outfile = selected.into_file(f"/dev/fd/{pipe}", self.default_format, self.compression)
        return connection.run(outfile, parameters=self.parameters)

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
        if kind == "CONTROL" and words[0] in (b"SELECT", b"WITH", b"("):
            raise EngineError(48, "INTO OUTFILE is not allowed")
        if words[0] == b"INSERT" and b"INFILE" in {token.text for token in sql.tokens(self.text)}:
            raise EngineError(78, "FROM INFILE is not allowed: send the data with the request", "UNKNOWN_TYPE_OF_QUERY")
        if self.readonly and kind != "READ_ONLY" and words[0] != b"SET":
            raise EngineError(164, _GET_IMPLIES_READONLY)


def result_format(text: bytes, default_format: str) -> str:
    """The format that the result of a statement will have."""
    selected = sql.select(text)
    if selected is not None and selected.format is not None:
        return selected.format.decode()
    return default_format


def _with_query_ids(text: bytes) -> bytes:
    """The statement so that it sees the clients' query ids, where it looks for running statements."""
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
        elif token.text in (b"FROM", b"JOIN") and [each.text for each in found[index + 1 : index + 4]] == [
            b"SYSTEM",
            b".",
            b"PROCESSES",
        ]:
            end = found[index + 3].end
            after = found[index + 4].text if index + 4 < len(found) else b""
            alias = b"" if after == b"AS" else b" AS processes"
            new = token.text + b" (SELECT * REPLACE (" + QUERY_ID_SQL + b" AS query_id) FROM system.processes)" + alias
        if new:
            parts += [text[at : token.start], new]
            at = end
    return b"".join([*parts, text[at:]])
