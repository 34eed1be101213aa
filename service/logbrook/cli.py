"""The command line `logbrook`. Each command loads its settings, then calls the module that does the work."""

import getpass
import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape

from logbrook import __version__, config, log, options
from logbrook.errors import ConfigError, LogbrookError

app = typer.Typer(
    name="logbrook",
    help="Takes logs over HTTP and OTLP, moves them through Kafka into ClickHouse, and searches them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


# Commands that people run against a stack on their machine. Others are processes of one, or find one themselves.
_BESIDE_A_STACK = frozenset(("audit", "replay", "usage", "backup", "backups", "restore", "migrate", "produce"))


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context, version: bool = typer.Option(False, "--version", help="Print the version and exit.")
) -> None:
    """Print the version if requested. Find the stack that a command is meant for."""
    if context.invoked_subcommand in _BESIDE_A_STACK and (file := config.adopt_local_stack(Path.cwd())):
        Console(stderr=True).print(f"[dim]local stack: {escape(str(file))}[/]", highlight=False, soft_wrap=True)
    if version:
        print(f"logbrook {__version__}")  # noqa: T201 - what was asked for
        raise typer.Exit


@app.command()
def gateway() -> None:
    """Accept logs over HTTP (OTLP, NDJSON, text) and write them to Kafka."""
    from logbrook.gateway import server

    log.configure("logbrook-gateway")
    server.run(config.load(config.Gateway), config.load(config.Kafka))


_ForQuery = Annotated[bool, typer.Option("--query", help="For the query API, to read; not for the gateway.")]


def _section(for_query: bool) -> type[config.Gateway] | type[config.Query]:
    return config.Query if for_query else config.Gateway


@app.command()
def token(  # noqa: PLR0913, PLR0917 - each is an option of the command
    name: str = typer.Argument(help="The source that will use it."),
    expires: str | None = typer.Option(None, help="The last day on which it is good, in UTC: 2027-01-31."),
    path: Annotated[list[str] | None, typer.Option(help="Where it may be sent: /v1/logs; repeatable.")] = None,
    bytes_per_second: int | None = typer.Option(None, min=1, help="Bytes of events that the source may send a second."),
    bytes_per_day: int | None = typer.Option(None, min=1, help="Bytes of events that it may send a day."),
    for_query: _ForQuery = False,
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Create a random token for a source. It is shown once; the gateway needs only its SHA-256."""
    from logbrook import token_list

    limits = {"expires": expires, "paths": "+".join(path or []), "bytes_per_second": bytes_per_second}
    token_list.create(_section(for_query), name, limits | {"bytes_per_day": bytes_per_day}, as_json=as_json)


@app.command()
def tokens(
    retire: str | None = typer.Option(None, help="Remove tokens: all of a source, by its name, or one, by its id."),
    check: bool = typer.Option(False, "--check", help="Say what the token in LOGBROOK_TOKEN stands for."),
    for_query: _ForQuery = False,
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """List the tokens that the gateway accepts, or retire some."""
    from logbrook import token_list

    options.need(not (retire and check), "--retire and --check don't go together")
    section = _section(for_query)
    if retire:
        token_list.retire(section, retire)
    elif check:
        token_list.check(section, config.client_variable("LOGBROOK_TOKEN", ""), as_json=as_json)
    else:
        token_list.show(section, as_json=as_json)


@app.command()
def consumer() -> None:
    """Move events from Kafka into ClickHouse, each exactly once."""
    from logbrook.consumer import loop

    log.configure("logbrook-consumer")
    loop.run(config.load(config.Consumer), config.load(config.Kafka), config.load(config.ClickHouse))


@app.command()
def audit(
    from_time: str | None = typer.Option(
        None, help="Only from this time onward: 2026-01-31T12:00:00Z, or 2h for two hours ago."
    ),
    to_time: str | None = typer.Option(None, help="Only up to this time."),
    every: float | None = typer.Option(None, min=1, help="Repeat at this interval in seconds, and serve metrics."),
    wait: float = typer.Option(0, min=0, help="Wait this many seconds at most for Kafka and ClickHouse to answer."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Compare Kafka's offsets with what ClickHouse has; exit with 1 if any event is missing, duplicated, or stalled."""
    from logbrook.consumer import report
    from logbrook.consumer.span import Bounds

    log.configure("logbrook-audit")
    if every is not None:
        report.watch(every)
    bounds = Bounds(from_time_ms=options.time_ms(from_time), to_time_ms=options.time_ms(to_time))
    raise typer.Exit(report.run_audit(bounds, wait_seconds=wait, as_json=as_json))


@app.command()
def replay(
    from_offset: int | None = typer.Option(None, min=0, help="Start at this offset in each partition."),
    from_time: str | None = typer.Option(None, help="Start at this time: 2026-01-31T12:00:00Z, or 2h for 2 hours ago."),
    to_time: str | None = typer.Option(None, help="End at this time."),
    wait: float = typer.Option(0, min=0, help="Wait this many seconds at most for Kafka and ClickHouse to answer."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Read Kafka again and store what is missing, for example after restoring an old backup."""
    from logbrook.consumer import report
    from logbrook.consumer.span import Bounds

    log.configure("logbrook-replay")
    bounds = Bounds(from_offset, options.time_ms(from_time), options.time_ms(to_time))
    report.run_replay(bounds, wait_seconds=wait, as_json=as_json)


@app.command()
def usage(
    hours: float = typer.Option(24, min=0.1, help="Compute shares and rates over this many hours."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Show how much is stored for each source, what each share costs, and when the disk will be full."""
    from logbrook import usage as counted

    with Console(stderr=True).status("counting"):
        found = counted.usage(config.load(config.ClickHouse), config.load(config.Usage), hours)
    if as_json:
        print(counted.as_json(found))  # noqa: T201
    else:
        counted.show(found, Console())


@app.command()
def backup(name: str | None = typer.Argument(None, help="Its name (default: logbrook- and the time).")) -> None:
    """Back up the tables to the bucket or to ClickHouse's backup folder, while everything runs."""
    from logbrook import backup as archive

    with Console(stderr=True).status("backing up"):
        print(archive.backup(config.load(config.ClickHouse), config.load(config.Backup), name))  # noqa: T201


@app.command()
def backups(as_json: bool = typer.Option(False, "--json", help="Print one JSON object per line.")) -> None:
    """List the backups in the bucket, oldest first."""
    from logbrook import backup as archive

    for each in archive.finished(config.load(config.ClickHouse), config.load(config.Backup)):
        if as_json:
            print(json.dumps({"name": each.name, "finished_at": each.at.isoformat(), "base": each.base}))  # noqa: T201
        else:
            print(each.name + (f"  needs {each.base}" if each.base else "  full"))  # noqa: T201


@app.command()
def restore(name: str = typer.Argument(help="What `logbrook backup` printed, or `logbrook backups` lists.")) -> None:
    """Replace the events with those of a backup. Run `logbrook replay` afterwards to store what came later."""
    from logbrook import backup as archive

    database, bucket = config.load(config.ClickHouse), config.load(config.Backup)
    with Console(stderr=True).status(f"restoring {name}"):
        rows = archive.restore(database, bucket, name)
    print(f"{rows:,} events restored. To store what came after the backup, run: logbrook replay")  # noqa: T201


@app.command()
def migrate(plan: bool = typer.Option(False, "--plan", help="Print what would be done, and do nothing.")) -> None:
    """Create or update the tables, the views, and the topic. It is safe to run again."""
    from logbrook import migrate as migration
    from logbrook import topic

    log.configure("logbrook-migrate")
    schema, kafka, database = config.load(config.Schema), config.load(config.Kafka), config.load(config.ClickHouse)
    if not plan:
        migration.run(schema, kafka, database)
        return
    lines = [f"{step.what}: {line}" for step in migration.plan(schema, database) for line in step.summary()]
    lines += [f"{kafka.topic}: {change}" for change in topic.plan(kafka)]
    print("\n".join(lines) or "nothing to do")  # noqa: T201


@app.command()
def doctor(
    quick: bool = typer.Option(False, "--quick", help="Check only whether Kafka and ClickHouse accept the login."),
    wait: float = typer.Option(0.0, min=0, help="Repeat for this many seconds, until nothing fails."),
    role: Literal["", "gateway", "consumer", "query", "autoscaler"] = typer.Option(
        "", help="Whose rights to check (default: the user's name if it is a role, else consumer)."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Say what is wrong with this deployment, where, and what to change; exit with 1 if anything failed."""
    from logbrook.doctor import place, report

    here = place.find(config.environment(), Path.cwd(), role)
    raise typer.Exit(report.run(here, only_quick=quick, wait_seconds=wait, as_json=as_json))


@app.command()
def capacity(
    events_per_day: int = typer.Option(min=1, max=10**12, help="Events a day, on average."),
    event_bytes: int = typer.Option(..., "--bytes", min=1, max=2**20, help="Bytes of an event as JSON, on average."),
    days: int = typer.Option(min=1, max=3650, help="Days that ClickHouse keeps an event."),
    environment: Literal["dev", "prod"] = typer.Option("prod", help="dev: a smaller machine is enough."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Say what to deploy on GCP for a volume of logs, and what it costs. It needs the repository: `make capacity`."""
    sys.path.append(str(Path(__file__).parents[2]))
    try:
        from infra import capacity as planned
    except ImportError as error:
        missing = "`logbrook capacity` needs the repository and infra/requirements.txt: run `make capacity` in a clone"
        raise ConfigError(missing) from error
    planned.run(planned.Volume(events_per_day, event_bytes, days), environment, as_json=as_json, console=Console())


@app.command()
def query() -> None:
    """Serve the query API and the log explorer."""
    from logbrook.query import server

    log.configure("logbrook-query")
    server.run(config.load(config.Query), config.load(config.ClickHouse))


alerts = typer.Typer(
    help="Alerts on what logs say. Without a command: evaluate the rules of LOGBROOK_ALERT_RULES until stopped, and"
    " tell Alertmanager what fires.",
    no_args_is_help=False,
)
app.add_typer(alerts, name="alert")


@alerts.callback(invoke_without_command=True)
def alert(context: typer.Context) -> None:
    """Evaluate the rules of LOGBROOK_ALERT_RULES until stopped, and tell Alertmanager what fires."""
    if context.invoked_subcommand is None:
        from logbrook.alert import evaluator

        log.configure("logbrook-alert")
        evaluator.run(config.load(config.Alert), config.load(config.Query), config.load(config.ClickHouse))


@alerts.command("test")
def alert_test(
    file: Annotated[Path, typer.Argument(help="The file with the rules.")],
    backfill: str | None = typer.Option(None, help="Evaluate every window of this long: 24h, 7d (default: the last)."),
) -> None:
    """Check a file of rules, and show when they would have fired."""
    from logbrook.alert import report

    back = options.duration(backfill)
    report.run(file, int(back.total_seconds()) * 10**9 if back else 0)


_Query = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="QUERY",
        help='For example: "level>=error checkout" (default: everything), "level>=error | stats count by service". '
        "Put -- before one that begins with -.",
    ),
]
_Since = Annotated[str, typer.Option(help="Start: how long ago (15m, 2h, 7d), or a time.")]
_Until = Annotated[str, typer.Option(help="End: like --since.")]
_AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object per line, with all fields.")]
_Url = Annotated[
    str, typer.Option(help="URL of the query API (default: LOGBROOK_QUERY_URL, else http://127.0.0.1:8080).")
]


def _query_url(url: str) -> str:
    return url or config.client_variable("LOGBROOK_QUERY_URL", "http://127.0.0.1:8080")


@app.command()
def search(  # noqa: PLR0913, PLR0917 - each is an option of the command
    words: _Query = None,
    since: _Since = "1h",
    until: _Until = "now",
    limit: int = typer.Option(100, min=1, help="Print at most this many events, the newest last, or rows."),
    follow: bool = typer.Option(False, "--follow", "-f", help="Keep printing new events as they arrive."),
    as_json: _AsJson = False,
    as_csv: bool = typer.Option(
        False, "--csv", help="Print CSV: the columns of a query with stages, or of its events."
    ),
    url: _Url = "",
) -> None:
    """Search the logs from the terminal, or count them, as the explorer does."""
    from logbrook.query import terminal

    wanted = terminal.Wanted(" ".join(words or []), since, until, limit)
    options.need(not (as_json and as_csv), "--json and --csv don't go together")
    if as_csv or terminal.counts(wanted.query):
        options.need(not follow, "--follow prints events: it does not go with stages or --csv")
        terminal.rows(_query_url(url), wanted, as_json=as_json, as_csv=as_csv)
        return
    terminal.run(_query_url(url), wanted, follow=follow, as_json=as_json)


@app.command()
def tail(words: _Query = None, since: _Since = "1h", as_json: _AsJson = False, url: _Url = "") -> None:
    """Print the newest ten matching events, and then new ones as they arrive."""
    from logbrook.query import terminal

    wanted = terminal.Wanted(" ".join(words or []), since, "now", 10)
    terminal.run(_query_url(url), wanted, follow=True, as_json=as_json)


@app.command()
def fields(since: _Since = "1h", until: _Until = "now", as_json: _AsJson = False, url: _Url = "") -> None:
    """Print the fields that events have, each with how many have it."""
    from logbrook.query import terminal

    terminal.fields(_query_url(url), since, until, as_json=as_json)


@app.command()
def patterns(  # noqa: PLR0913, PLR0917 - each is an option of the command
    words: _Query = None,
    since: _Since = "1h",
    until: _Until = "now",
    limit: int = typer.Option(50, min=1, max=200, help="Print at most this many patterns, the most frequent first."),
    as_json: _AsJson = False,
    url: _Url = "",
) -> None:
    """Print similar lines grouped: those that differ only in their numbers, ids, addresses, and times."""
    from logbrook.query import terminal

    wanted = terminal.Wanted(" ".join(words or []), since, until, limit)
    terminal.patterns(_query_url(url), wanted, as_json=as_json)


@app.command()
def mcp(
    http: bool = typer.Option(False, "--http", help="Serve MCP over HTTP, at LOGBROOK_MCP_HOST and LOGBROOK_MCP_PORT."),
    url: _Url = "",
) -> None:
    """Let an assistant search the logs, over the Model Context Protocol on standard input and output."""
    missing = "`logbrook mcp` needs the MCP SDK: pip install --require-hashes -r service/with-mcp/requirements.txt"
    options.need(find_spec("mcp") is not None, missing)
    from logbrook import mcp as assistants

    log.configure("logbrook-mcp")
    assistants.run(_query_url(url), config.load(config.Mcp), http=http)


@app.command()
def views(
    export: Annotated[Path | None, typer.Option(help="Write them to a file as YAML.")] = None,
    from_file: Annotated[
        Path | None, typer.Option("--import", help="Save what such a file has: new views, and new versions of others.")
    ] = None,
    name: str | None = typer.Option(None, help="Who saves them (default: the name of your account here)."),
    as_json: _AsJson = False,
    url: _Url = "",
) -> None:
    """List the shared saved views, write them to a file, or read them from one."""
    from logbrook.query import terminal

    options.need(not (export and from_file), "--export and --import don't go together")
    terminal.views(_query_url(url), export, from_file, name or getpass.getuser(), as_json=as_json)


@app.command()
def produce(  # noqa: PLR0913, PLR0917 - each is an option of the command
    to: Literal["kafka", "gateway"] = typer.Option("kafka", help="Directly to the topic, or over HTTP."),
    count: int | None = typer.Option(None, min=0, help="Events to send (default: 10000; unlimited with --rate)."),
    rate: float | None = typer.Option(None, help="Events per second (default: as fast as they are accepted)."),
    seed: int = typer.Option(1, help="The same seed makes the same events, except for their times."),
    start_time: str | None = typer.Option(None, help="Time of the first event, RFC 3339 (default: now)."),
    spread: str | None = typer.Option(None, help="Spread the times over a period that ends now: 24h, 30m, 90s, 7d."),
    event_id: bool = typer.Option(False, "--event-id", help="Give each event a unique `event_id`."),
    events_per_message: int = typer.Option(500, help="Events per Kafka message or HTTP request, 1 to 1000."),
    file: Annotated[list[str] | None, typer.Option(help="Send a log file instead; repeatable, `-` is stdin.")] = None,
    file_format: Literal["auto", "text", "json"] = typer.Option("auto", "--format", help="Format of the files' lines."),
    multiline: Literal["on", "off"] = typer.Option("on", help="Join stack traces and indented lines into one event."),
    service: str | None = typer.Option(
        None, help="Service of the files' events that do not name one; {file} stands for the file's name."
    ),
    follow: bool = typer.Option(False, "--follow", help="Keep sending what is appended to the files from now on."),
    state: str | None = typer.Option(None, help="With --follow: file that remembers positions, to resume from."),
    timeout: float = typer.Option(60.0, min=0.1, help="Seconds to try to deliver an event before it counts as failed."),
    as_json: bool = typer.Option(False, "--json", help="Print only one JSON object, at the end."),
) -> None:
    """Send sample logs of a small shop, or your own log files, and report how many were acknowledged."""
    from logbrook.produce import follow as following
    from logbrook.produce import run
    from logbrook.produce.files import Files
    from logbrook.produce.lines import Reading

    source: run.Source
    reading = Reading(format=file_format, multiline=multiline == "on", service=service)
    if follow or state:
        options.need(bool(file) and follow, "--follow needs --file, and --state needs --follow")
        source = following.Follow(file or [], reading, Path(state) if state else None)
    elif file:
        source = Files(file, reading)
    else:
        source = run.Samples(
            seed=seed,
            count=count,
            rate=rate,
            start_time=options.time(start_time),
            spread=options.duration(spread),
            event_ids=event_id,
            per_message=events_per_message,
        )
    destination = run.Destination(
        to=to,
        timeout_seconds=timeout,
        gateway_url=config.client_variable("LOGBROOK_GATEWAY_URL", "http://127.0.0.1:4318"),
        token=config.client_variable("LOGBROOK_TOKEN", ""),
    )
    raise typer.Exit(run.produce(source, destination, as_json=as_json))


def main() -> None:
    """Run the command line: our own errors print one line and exit with 1."""
    try:
        app()
    except LogbrookError as error:
        Console(stderr=True).print(f"[bold red]error[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(1)
