"""roles.yaml: who may see which events, and do what with them; refused with the line and column of each mistake."""

import re
from dataclasses import dataclass
from pathlib import Path

import msgspec

from logbrook import rule_file
from logbrook.query import filters
from logbrook.query.syntax import Everything

PERMISSIONS = ("sql", "export", "views")
# group: and token: names have no @, so that nobody's address passes for one.
_WHO = re.compile(r"(?:[^@\s:]+|\*)@[^@\s]+|(?:group|token):\S.*")


@dataclass(frozen=True)
class Role:
    """What some may see and do."""

    name: str = ""
    condition: str = ""
    """SQL of the events that they may see; all if it is empty."""
    may: frozenset[str] = frozenset(PERMISSIONS)

    def allows(self, permission: str) -> bool:
        """Whether it permits one of PERMISSIONS, or `everything`: what is about all events alike."""
        return permission in self.may if permission in PERMISSIONS else not self.condition


class _Written(msgspec.Struct, forbid_unknown_fields=True):
    """A role as the file has it."""

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
    """The role of everybody that a text names, in its order. Raises MistakesError; `file` is named in it."""
    document = rule_file.Document(text, file, "roles")
    found: dict[str, Role] = {}
    for index, given in enumerate(document.listed):
        path = f"$.roles[{index}]"
        written = document.converted(given, path, _Written)
        if written is None:
            continue
        node = document.query(f"{path}.query", written.query)
        condition = "" if node is None or isinstance(node, Everything) else filters.literal(node)
        if condition and written.sql:
            document.wrong(f"{path}.sql", "SQL reads all events: a role with a query can't have it")
        may = frozenset(each for each in PERMISSIONS if getattr(written, each))
        for place, name in enumerate(written.who):
            where, who = f"{path}.who[{place}]", name if ":" in name else name.lower()
            if not _WHO.fullmatch(who):
                document.wrong(where, "expected mia@example.org, *@example.org, group:NAME, or token:NAME")
            if who in found:
                document.wrong(where, f"{who} has the role {found[who].name} already")
            found[who] = Role(written.name, condition, may)
    document.refuse_mistakes()
    return found
