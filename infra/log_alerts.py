"""Alerts on what logs say: the rules that the data node evaluates."""

from infra.config import NAMESPACE, Settings
from infra.errors import StackError
from infra.render import ROOT


def rules(settings: Settings) -> str:
    """The file that `alertRules` names; empty: no rules. Raises StackError with the line and column of each mistake."""
    if not settings.alert_rules:
        return ""
    # The service's own reader: only stacks with rules wait for what it imports.
    from logbrook.alert.rules import load  # noqa: PLC0415
    from logbrook.rule_file import MistakesError  # noqa: PLC0415

    path = ROOT / settings.alert_rules
    try:
        load(path)
    except MistakesError as error:
        raise StackError(f"{NAMESPACE}:alertRules: {error}") from None
    return path.read_text()
