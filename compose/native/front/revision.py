"""Results in the Native format of a protocol revision, as clickhouse-go (and so Grafana) asks for them.

The engine writes Native to a file without a revision: no block info, and no flag for custom serialization before each
column. To add them, one must know where each column begins, so the result goes to a file first, from which each column
is read separately. It is then held in memory: it is a panel, or a driver's page.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from logbrook import leb128
from native.front import sql
from native.front.engine import Connection, Outcome

# From this revision on, a column has the flag for custom serialization. clickhouse-connect asks for a lower one.
WITH_CUSTOM_SERIALIZATION = 54454
# is_overflows = 0, bucket_num = -1, end.
_BLOCK_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"


def run(
    connection: Connection, select: sql.Select, parameters: Mapping[str, str], connect: Callable[[], Connection]
) -> Outcome:
    """Run a SELECT and return its result in Native with revision. `connect` gives a connection that may read files."""
    with tempfile.TemporaryDirectory(prefix="logbrook-") as directory:
        file = Path(directory, "result")
        # The file's types have no time zones: without a revision Native has none.
        described = connection.run(b"DESCRIBE TABLE (" + select.head + b"\n)", "TabSeparatedRaw", parameters).result
        types = [line.split(b"\t")[1] for line in described.splitlines()]
        outcome = connection.run(select.into_file(str(file), "Native", None), parameters=parameters)
        result, rows = _read(file, connect, types)
    return Outcome(result, outcome.read_rows, outcome.read_bytes, rows)


def convert(outcome: Outcome, connect: Callable[[], Connection]) -> Outcome:
    """The outcome of a statement that is not a SELECT, whose result is in Native, with revision."""
    with tempfile.TemporaryDirectory(prefix="logbrook-") as directory:
        file = Path(directory, "result")
        file.write_bytes(outcome.result)
        result, rows = _read(file, connect)
    return replace(outcome, result=result, result_rows=rows)


def _read(file: Path, connect: Callable[[], Connection], types: list[bytes] | None = None) -> tuple[bytes, int]:
    other = connect()
    try:
        # One thread keeps the order of the blocks.
        other.set({"max_threads": "1"})
        return _with_revision(other, file, types)
    finally:
        other.close()


def _with_revision(connection: Connection, file: Path, types: list[bytes] | None) -> tuple[bytes, int]:
    """The result in the file with these types (None: those that the file says), and its rows."""
    if not file.exists() or not file.stat().st_size:
        return b"", 0
    source = b"file(%s, 'Native')" % sql.literal(str(file))
    described = connection.run(b"DESCRIBE TABLE " + source, "TabSeparatedRaw").result
    headings = [tuple(line.split(b"\t")[:2]) for line in described.splitlines()]
    columns = [
        [_data(block) for block in connection.blocks(b"SELECT " + sql.identifier(name) + b" FROM " + source, "Native")]
        for name, _ in headings
    ]
    if types is not None and len(types) == len(headings):
        headings = [(name, kind) for (name, _), kind in zip(headings, types, strict=True)]
    return b"".join(_blocks(headings, columns)), sum(rows for rows, _ in columns[0])


def _blocks(headings: list[tuple[bytes, ...]], columns: list[list[tuple[int, bytes]]]) -> Iterator[bytes]:
    blocks = list(zip(*columns, strict=True)) or [tuple((0, b"") for _ in headings)]
    for block in blocks:
        yield _BLOCK_INFO + leb128.encoded(len(headings)) + leb128.encoded(block[0][0])
        for (name, kind), (_, data) in zip(headings, block, strict=True):
            yield leb128.string(name) + leb128.string(kind) + b"\x00" + data


def _data(block: bytes) -> tuple[int, bytes]:
    """The rows and the data of a block that has one column."""
    _, at = leb128.decoded(block, 0)
    rows, at = leb128.decoded(block, at)
    for _ in ("name", "type"):
        length, at = leb128.decoded(block, at)
        at += length
    return rows, block[at:]
