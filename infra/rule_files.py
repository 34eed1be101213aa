"""The files of rules that a stack's configuration names, checked by the service's own readers."""

from importlib import import_module

from infra.config import Settings, full_key
from infra.errors import StackError
from infra.render import ROOT

# Imported only for a stack that has such a file: no other needs what they import.
READERS = {"alert_rules": "logbrook.alert.rules", "query_roles": "logbrook.query.roles"}


def check(settings: Settings) -> None:
    """Raise StackError for the first file with mistakes."""
    for field in READERS:
        text(settings, field)


def text(settings: Settings, field: str) -> str:
    """The file that a field of the settings names; empty if it names none.

    Raises StackError with the line and column of each mistake.
    """
    name: str = getattr(settings, field)
    if not name:
        return ""
    from logbrook.rule_file import MistakesError  # noqa: PLC0415 - as above

    path = ROOT / name
    try:
        import_module(READERS[field]).load(path)
    except MistakesError as error:
        raise StackError(f"{full_key(field)}: {error}") from None
    return path.read_text()
