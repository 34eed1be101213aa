"""`python -m native`: starts and stops the local stack. The Makefile's local-* targets call it."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, cast

import typer
from rich.console import Console
from rich.markup import escape

from logbrook import clickhouse, config
from logbrook.errors import LogbrookError
from logbrook.query.terminal import visible
from native import containers, environment, logs, mounts, runtime, stack, status, summary
from native import up as up_
from native.environment import DEFAULT_STATE
from native.failure import Failure

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
console = Console(stderr=True)

State = Annotated[Path, typer.Option("--state", help="Directory of the stack's data and logs.", show_default=".local")]
Wanted = Annotated[str, typer.Option(envvar="RUNTIME", help="auto, native or compose.")]


@app.command()
def up(state: State = DEFAULT_STATE, wanted: Wanted = "auto") -> None:
    """Start the stack, wait until all of it works, and say what runs where. It is safe to repeat."""
    state = state.resolve()
    settings = environment.load(state)
    for name, like in environment.unread(settings.env_file).items():
        meant = f"; did you mean {like}?" if like else ""
        console.print(f"[yellow]![/] {settings.env_file}: nothing reads {name}{meant}", highlight=False, soft_wrap=True)
    choice = _choose(wanted, state)
    console.print(f"Running [bold]{choice.runtime}[/]: {choice.reason}.", highlight=False)
    if choice.runtime == "compose":
        env_file = environment.env_file(state)
        with console.status("looking for the images") as spinner:
            runtime.pull(env_file, spinner.update)
        mounts.write(env_file)
        containers.up(env_file, lambda text: console.print(escape(text), highlight=False))
    else:
        settings = up_.native(state, console)
    summary.show(settings, choice.runtime, console)


@app.command()
def fetch() -> None:
    """Fetch Kafka's and ZooKeeper's jars if they are missing, without starting anything."""
    up_.fetch(console)


@app.command()
def down(state: State = DEFAULT_STATE) -> None:
    """Stop the stack. Its data stays."""
    state = state.resolve()
    if runtime.compose_runs(environment.env_file(state)):
        _compose(state, "down")
    elif not up_.stop(state, console):
        console.print("The stack is not running.")


@app.command(name="status")
def show_status(
    state: State = DEFAULT_STATE, as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False
) -> None:
    """Show each process; exit with 1 if one is not working."""
    state = state.resolve()
    if status.read(state) is None and runtime.compose_runs(environment.env_file(state)):
        _compose(state, "ps")
        return
    settings = environment.load(state)
    found = summary.rows(settings, stack.services(settings, up_.JARS))
    if as_json:
        print(json.dumps([{**asdict(row), "ok": row.ok} for row in found]))  # noqa: T201 - what was asked for
    else:
        summary.tell(found, Console())
    raise typer.Exit(0 if all(row.ok for row in found) else 1)


@app.command(name="logs")
def show_logs(
    name: Annotated[str | None, typer.Argument(help="Only this process (default: all).")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing new lines.")] = False,
    count: Annotated[int, typer.Option("--lines", "-n", help="How many of each one's last lines to show first.")] = 20,
    state: State = DEFAULT_STATE,
) -> None:
    """Show what the processes print."""
    state = state.resolve()
    if status.read(state) is None and runtime.compose_runs(environment.env_file(state)):
        _compose(state, "logs", "--tail", str(count), *(["--follow"] if follow else []), *([name] if name else []))
        return
    files = [stack.log_file(state, name)] if name else sorted((state / "logs").glob("*.log"))
    if not files or not any(file.exists() for file in files):
        known = ", ".join(sorted(file.stem for file in (state / "logs").glob("*.log")))
        raise Failure(f"There is no log of {name or 'anything'} yet.", f"Existing logs: {known or 'none'}")
    width = max(len(file.stem) for file in files)
    for stem, line in logs.lines(files, count):
        print(f"{stem:<{width}}  {line}")  # noqa: T201
    if follow:
        for stem, line in logs.follow(files):
            print(f"{stem:<{width}}  {line}", flush=True)  # noqa: T201


@app.command()
def reset(
    state: State = DEFAULT_STATE, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False
) -> None:
    """Stop the stack and delete its data, logs and passwords; ports and other settings stay. Asks first."""
    state = state.resolve()
    compose = state == DEFAULT_STATE and runtime.compose_has_data()
    places = [state / "data", state / "logs", state / "run"]
    there = [str(place) for place in places if place.exists()]
    if compose:
        there.append("the volumes of the Compose stack")
    if there and not yes:
        console.print("This permanently deletes: " + ", ".join(there), highlight=False, soft_wrap=True)
        if not typer.confirm("Delete it?", err=True):
            raise Failure("Nothing was deleted.", "To delete without being asked: make local-reset YES=1")
    if compose:
        _compose(state, "down", "--volumes")
    up_.stop(state, console)
    for place in places:
        shutil.rmtree(place, ignore_errors=True)
    environment.forget_secrets(state)
    console.print("Deleted. `make local-up` starts from scratch.")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run(context: typer.Context) -> None:
    """Run a command of `logbrook` against this stack: run [--state DIR] produce --count 1000 ..."""
    arguments = list(context.args)
    state = DEFAULT_STATE
    if arguments[:1] == ["--state"]:
        state, arguments = Path(arguments[1]).resolve(), arguments[2:]
    settings = environment.load(state)
    others = {name: value for name, value in os.environ.items() if not name.startswith(config.PREFIX)}
    # This process becomes the command, so that signals and the terminal are its own.
    command = [sys.executable, "-m", "logbrook", *arguments]
    login = settings.reader if arguments[:1] in (["alert"], ["query"]) else {}
    os.execve(sys.executable, command, {**others, **settings.for_service(), **login})  # noqa: S606 - no shell is wanted


@app.command()
def sql(statement: str, state: State = DEFAULT_STATE) -> None:
    """Run one statement in the stack's database and print its result."""
    settings = environment.load(state.resolve())
    client = clickhouse.connect(replace(settings.clickhouse, timeout_seconds=300))
    try:
        result = client.raw_query(statement.strip().rstrip(";"), fmt="PrettyCompactMonoBlock")
    except clickhouse.ClickHouseError as error:
        raise Failure(str(error)) from None
    # A log line may contain terminal control sequences.
    sys.stdout.write(visible(result.decode(errors="replace")))


def _choose(wanted: str, state: Path) -> runtime.Choice:
    if wanted not in ("auto", "native", "compose"):
        raise Failure(f"RUNTIME={wanted} is not known.", "Use auto, native, or compose.")
    if status.read(state) is not None:
        if wanted == "compose":
            raise Failure("The native stack runs on the same ports.", "Stop it first: make local-down")
        return runtime.Choice("native", "it runs already")
    if wanted == "auto" and runtime.compose_runs(environment.env_file(state)):
        return runtime.Choice("compose", "it runs already")
    with console.status("looking for a Docker engine and its images"):
        return runtime.choose(cast(runtime.Runtime, wanted), environment.env_file(state))


def _compose(state: Path, *arguments: str) -> None:
    done = subprocess.run([*runtime.command(environment.env_file(state)), *arguments], check=False)
    if done.returncode:
        raise Failure(
            f"docker compose {arguments[0]} failed.", "Look at: make local-logs. Or go without Docker: RUNTIME=native"
        )


def main() -> None:
    """Run the command line; a Failure is shown with what to do about it."""
    try:
        app()
    except (Failure, LogbrookError) as error:
        console.print(f"[bold red]✗[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        if advice := getattr(error, "advice", ""):
            console.print(f"  {escape(advice)}", highlight=False, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
