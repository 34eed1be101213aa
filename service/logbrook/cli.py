"""The command line `logbrook`. Each command loads its settings, then hands over to the module of its name."""

import sys

import typer
from rich.console import Console

from logbrook import __version__, config, log
from logbrook.errors import LogbrookError

app = typer.Typer(
    name="logbrook",
    help="Logs in over HTTP and OTLP, through Kafka, into ClickHouse; fast queries out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def root(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    """Print the version, if asked."""
    if version:
        print(f"logbrook {__version__}")  # noqa: T201 - what was asked for
        raise typer.Exit


@app.command()
def gateway() -> None:
    """Take logs over HTTP (OTLP, NDJSON, text) and put them into Kafka."""
    from logbrook.gateway import server

    log.configure("logbrook-gateway")
    server.run(config.load(config.Gateway), config.load(config.Kafka))


@app.command()
def consumer() -> None:
    """Move events from Kafka into ClickHouse, each exactly once."""
    from logbrook.consumer import loop

    log.configure("logbrook-consumer")
    loop.run(config.load(config.Consumer), config.load(config.Kafka), config.load(config.ClickHouse))


@app.command()
def migrate() -> None:
    """Create or update the tables and the topic; harmless to repeat."""
    from logbrook import migrate as migration

    log.configure("logbrook-migrate")
    migration.run(config.load(config.Schema), config.load(config.Kafka), config.load(config.ClickHouse))


def main() -> None:
    """Run the command line: our own errors print one line and exit with 1."""
    try:
        app()
    except LogbrookError as error:
        Console(stderr=True).print(f"[bold red]error[/] {error}", highlight=False, soft_wrap=True)
        sys.exit(1)
