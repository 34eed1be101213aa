"""Settings: from environment variables alone, typed, and never silently wrong."""

import ast
from collections import Counter
from dataclasses import MISSING
from pathlib import Path

import pytest

from logbrook import config
from logbrook.errors import ConfigError


def test_a_value_is_read_in_its_type() -> None:
    """A variable replaces the default and has the field's type; the others keep theirs."""
    consumer = config.load(config.Consumer, {"LOGBROOK_CONSUMER_MAX_BATCH_BYTES": "1024"})

    assert consumer.max_batch_bytes == 1024
    assert consumer.flush_after_seconds == 0.5


def test_a_secret_may_be_in_a_file(tmp_path: Path) -> None:
    """As a container mounts it; it counts before the variable itself. No other setting is read from a file."""
    file = tmp_path / "password"
    file.write_text("of-the-file\n")
    environ = {"LOGBROOK_CLICKHOUSE_PASSWORD": "", "LOGBROOK_CLICKHOUSE_PASSWORD_FILE": str(file)}
    assert config.load(config.ClickHouse, environ).password == "of-the-file"
    with pytest.raises(ConfigError, match=r"LOGBROOK_CLICKHOUSE_PASSWORD_FILE: .*/nowhere: No such file"):
        config.load(config.ClickHouse, {"LOGBROOK_CLICKHOUSE_PASSWORD_FILE": str(tmp_path / "nowhere")})
    with pytest.raises(ConfigError, match="LOGBROOK_CLICKHOUSE_HOST_FILE: no such setting"):
        config.load(config.ClickHouse, environ | {"LOGBROOK_CLICKHOUSE_HOST_FILE": str(file)})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LOGBROOK_CONSUMER_MAX_BATCH_BYTES", "32MB"),
        ("LOGBROOK_CONSUMER_MAX_BATCH_BYTES", "-1"),
        ("LOGBROOK_CONSUMER_FLUSH_AFTER_SECONDS", "soon"),
        ("LOGBROOK_CONSUMER_MAX_BATCH_BITES", "1"),
    ],
)
def test_a_value_that_does_not_fit_is_named(variable: str, value: str) -> None:
    """A wrong type, a negative number and a misspelt name stop the start, with the variable's name in the message."""
    with pytest.raises(ConfigError, match=variable):
        config.load(config.Consumer, {variable: value})


def test_a_misspelt_variable_of_another_section_is_named_too() -> None:
    """Each process complains of any variable with our prefix that no process knows."""
    with pytest.raises(ConfigError, match="LOGBROOK_GATEWAY_TOKEN: no such setting"):
        config.load(config.Consumer, {"LOGBROOK_GATEWAY_TOKEN": "x"})


def test_the_password_has_no_default() -> None:
    """A missing required setting is named and explained."""
    with pytest.raises(ConfigError, match="LOGBROOK_CLICKHOUSE_PASSWORD is not set"):
        config.load(config.ClickHouse, {})


def test_a_secret_is_not_shown() -> None:
    """Printing settings, as an error report might, does not give a secret away."""
    settings = config.load(config.ClickHouse, {"LOGBROOK_CLICKHOUSE_PASSWORD": "hunter2"})

    assert "hunter2" not in repr(settings)
    assert settings.password == "hunter2"


@pytest.mark.parametrize(("text", "value"), [("true", True), ("1", True), ("False", False), ("0", False)])
def test_a_switch_is_true_or_false(text: str, value: bool) -> None:
    """Switches take true, false, 1 and 0, in any case."""
    assert config.load(config.Gateway, {"LOGBROOK_GATEWAY_ALLOW_ANONYMOUS": text}).allow_anonymous is value


def test_every_setting_is_read() -> None:
    """The service reads each setting outside of its declaration; one whose name several sections have, as often."""
    service = Path(config.__file__).parent
    trees = [ast.parse(path.read_text()) for path in service.rglob("*.py") if path.name != "config.py"]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    read = Counter(node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load))
    named = Counter(each.name for _, each, _ in config.declared())
    assert [variable for _, each, variable in config.declared() if read[each.name] < named[each.name]] == []


def test_every_setting_says_what_it_means() -> None:
    """Each has a meaning in a sentence, and none a default that is a secret."""
    for _, each, variable in config.declared():
        assert each.metadata["meaning"].rstrip().endswith("."), variable
        assert not each.metadata["secret"] or each.default in {MISSING, ""}, variable
