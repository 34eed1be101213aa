"""The schema of ClickHouse as SQL files, and how to insert into its tables.

`tables/` has numbered files: each is applied once and never changes after a release. `views/` has one file for each
view: it is applied again whenever its text has changed. Words in braces are filled in: settings, the forms that a
cluster needs, and what parsing.py makes from vocabulary.toml.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources

from logbrook import config
from logbrook.cluster import ONE_SERVER, Cluster
from logbrook.schema import parsing

_PLACEHOLDER = re.compile(r"\{(\w+)(?::\s*([^{}]+))?\}")
# A statement ends with a line that ends with `;`.
_END = re.compile(r";[ \t]*(?:\n|$)")


INSERT_SETTINGS: dict[str, int | str] = {
    # Parse the body in one thread, so that its rows stay in one stream of blocks.
    "max_insert_threads": 1,
    "input_format_parallel_parsing": 0,
    # One block for the whole body: a block is what becomes a part.
    "max_insert_block_size": 1 << 30,
    "min_insert_block_size_rows": 1 << 30,
    "min_insert_block_size_bytes": 1 << 40,
    # The view multiplies rows (a message has many events): its blocks are combined again before they reach the table.
    "min_insert_block_size_rows_for_materialized_views": 1 << 30,
    "min_insert_block_size_bytes_for_materialized_views": 1 << 40,
    # Views one after the other, in one thread.
    "parallel_view_processing": 0,
    "max_threads": 1,
    # Planning the long view costs more than a small insert itself: leave out its two most expensive steps.
    "optimize_and_compare_chain": 0,
    "query_plan_merge_expressions": 0,
    # An error in a view makes the insert fail; a row is never left out.
    "materialized_views_ignore_errors": 0,
    # The answer comes after the part exists, and the insert is not merged with others.
    "async_insert": 0,
    "wait_end_of_query": 1,
}
"""Settings of an insert into an inlet or `arrivals` that put each of its messages into one part of otel_logs."""


@dataclass(frozen=True)
class File:
    """One SQL file: its name within logbrook/schema, and its text."""

    name: str
    text: str

    @property
    def view(self) -> str:
        """The view that it creates; empty if it is not in views/."""
        return self.name.removeprefix("views/").removesuffix(".sql") if self.name.startswith("views/") else ""

    @property
    def checksum(self) -> str:
        """SHA-256 of the text with the vocabulary filled in, and without settings."""
        return hashlib.sha256(_filled(self.text, parsing.expression).encode()).hexdigest()

    def applied_as(self, settings: config.Schema) -> str:
        """The checksum; for a view also the settings in it, since it is applied again when one of them changes."""
        used = [name for name in _in_views(settings) if self.view and f"{{{name}}}" in self.text]
        return " ".join([self.checksum, *(f"{name}={_in_views(settings)[name]}" for name in used)])

    def statements(self, settings: config.Schema, database: str, cluster: Cluster = ONE_SERVER) -> list[str]:
        """Its statements, as they run here. A comment alone is not a statement."""
        values = {"retention_days": settings.retention_days, **_in_views(settings)}
        known = {name: str(value) for name, value in values.items()} | cluster.forms(database)

        def fill(name: str, argument: str) -> str | None:
            return known[name] if name in known else parsing.expression(name, argument)

        return [
            _filled(statement, fill).strip()
            for statement in _END.split(self.text)
            if re.sub(r"--.*", "", statement).strip() and (cluster.has_local or "{cluster_only}" not in statement)
        ]


def _in_views(settings: config.Schema) -> dict[str, int]:
    """The settings that views are made of."""
    return {"max_event_names": settings.max_event_names, "max_ahead_seconds": settings.max_ahead_seconds}


def replaced(view: str) -> str:
    """The statement that gives an existing view the query of this CREATE; each insert uses the old one or the new."""
    head, query = view.split(" AS\n", 1)
    name = head[head.index("EXISTS ") + 7 : head.index(" TO ")]
    return f"ALTER TABLE {name} MODIFY QUERY {query}"


def tables() -> list[File]:
    """The numbered files, in their order."""
    return _files("tables")


def views() -> list[File]:
    """The files of the views."""
    return _files("views")


def record() -> File:
    """The table that records what was applied."""
    return File("record.sql", (resources.files("logbrook.schema") / "record.sql").read_text())


def _files(folder: str) -> list[File]:
    files = (resources.files("logbrook.schema") / folder).iterdir()
    return [
        File(f"{folder}/{file.name}", file.read_text())
        for file in sorted(files, key=lambda file: file.name)
        if file.name.endswith(".sql")
    ]


def _filled(text: str, fill: Callable[[str, str], str | None]) -> str:
    """The text with every placeholder that `fill` knows; others stay: SQL has braces of its own."""

    def one(found: re.Match[str]) -> str:
        value = fill(found[1], (found[2] or "").strip())
        return found[0] if value is None else value

    return _PLACEHOLDER.sub(one, text)
