"""roles.yaml: who may see which events and use which routes; each mistake is reported with its line and column."""

import re
from dataclasses import dataclass
from pathlib import Path

import msgspec

from logbrook import rule_file
from logbrook.query import filters
from logbrook.query.syntax import Everything

PERMISSIONS = ("sql", "export", "views")
# No address has a colon, so none can pass for a group or a token.
_WHO = re.compile(r"[^@\s:]+@[^@\s:]+|(?:group|token):\S.*")


@dataclass(frozen=True)
class Role:
    """What its members may see and do."""

    name: str = ""
    condition: str = ""
    """The events that they may see, as an SQL condition; all events if it is empty."""
    permissions: frozenset[str] = frozenset(PERMISSIONS)

    def allows(self, permission: str) -> bool:
        """Whether it has one of PERMISSIONS; or may see `everything`, as routes need that can't be filtered."""
        return permission in self.permissions if permission in PERMISSIONS else not self.condition


class _Written(msgspec.Struct, forbid_unknown_fields=True):
    """A role as it is in the file."""

    name: str
    who: list[str]
    query: str = ""
    sql: bool = False
    export: bool = False
    views: bool = False


def load(path: Path) -> dict[str, Role]:
    """The roles of a file. Raises MistakesError with every mistake that was found."""
    return parse(rule_file.read(path), str(path))


def parse(text: str, file: str) -> dict[str, Role]:
    """Each name in `text` with its role, in order. Raises MistakesError, which names `file`."""
    document = rule_file.Document(text, file, "roles")
    found: dict[str, Role] = {}
    for index, given in enumerate(document.listed):
        path = f"$.roles[{index}]"
        written = document.converted(given, path, _Written)
        if written is None:
            continue
        node = document.query(f"{path}.query", written.query, within=None)
        condition = "" if node is None or isinstance(node, Everything) else filters.literal(node)
        if condition and written.sql:
            document.wrong(f"{path}.sql", "SQL reads all events: a role with a query can't have it")
        permissions = frozenset(each for each in PERMISSIONS if getattr(written, each))
        for place, name in enumerate(written.who):
            where, who = f"{path}.who[{place}]", name if ":" in name else name.lower()
            if not _WHO.fullmatch(who):
                document.wrong(where, "expected mia@example.org, *@example.org, group:NAME, or token:NAME")
            if who in found:
                document.wrong(where, f"{who} has the role {found[who].name} already")
            found[who] = Role(written.name, condition, permissions)
    document.refuse_mistakes()
    return found
