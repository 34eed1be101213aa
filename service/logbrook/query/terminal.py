"""`logbrook search`, `tail`, `fields`, `patterns`, and `views`: what the explorer shows, on a terminal."""

import csv
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

import httpx
import msgspec
import orjson
import yaml
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from logbrook import config
from logbrook.client import reached, refusal
from logbrook.errors import LogbrookError, RejectedError
from logbrook.query import identity, language

_STYLES = {
    "none": "dim",
    "trace": "dim",
    "debug": "blue",
    "info": "cyan",
    "warn": "yellow",
    "error": "bold red",
    "fatal": "bold white on red",
}
# Control characters and those that reorder or hide text: a log line must not take over the terminal.
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
_PAGE = 1000
# How far consumers are behind when nothing is wrong: a batch, and one report per second.
_MOMENT_SECONDS = 5.0


class SearchError(LogbrookError):
    """The service refused the search; the message shows where."""


@dataclass(frozen=True)
class Wanted:
    """What to search for, as the command line has it."""

    query: str
    since: str
    until: str
    limit: int

    def parameters(self, limit: int, **more: str) -> dict[str, str | int]:
        """The parameters of a request."""
        return {"query": self.query, "from": self.since, "to": self.until, "limit": limit, **more}


def run(url: str, wanted: Wanted, *, follow: bool, as_json: bool) -> None:
    """Print the newest matches, oldest of them first; keep printing what arrives if `follow`. Raises LogbrookError.

    Ctrl-C ends `follow`. While matches are still being fetched, those that are there are printed, and the exit status
    is 130.
    """
    show: Callable[[dict[str, Any]], None] = partial(_show, Console(highlight=False, soft_wrap=True))
    if as_json:
        show = _print_json
    try:
        with _service(url) as client:
            answer = _search(client, wanted)
            seen = {event["id"] for event in answer["events"]}
            for event in reversed(answer["events"]):
                show(_whole(client, event) if as_json else event)
            _print_hints(answer)
            if follow:
                _follow(client, wanted.query, seen, show)
            elif not as_json and answer["cost"]:
                more = f", there are more: --limit {wanted.limit * 10}" if answer["cursor"] else ""
                _summary(answer, len(answer["events"]), "event", more)
            if answer["interrupted"]:
                _note(f"interrupted after {len(answer['events']):,} of at most {wanted.limit:,} events: the newest")
                sys.exit(130)
    except KeyboardInterrupt:
        if not follow:
            sys.exit(130)


def counts(query: str) -> bool:
    """Whether a query has stages, so that `rows` answers it."""
    try:
        return language.split(query)[1] < len(query)
    except RejectedError:
        # The service says what is wrong.
        return False


def rows(url: str, wanted: Wanted, *, as_json: bool, as_csv: bool) -> None:
    """Print the result of a query with stages: a table, CSV, or one JSON object per row. Raises LogbrookError."""
    answer = _answer(url, "query", wanted.parameters(min(wanted.limit, 10_000)))
    names = [each["name"] for each in answer["columns"]]
    if as_json:
        for row in answer["rows"]:
            _print_json(dict(zip(names, row, strict=True)))
    elif as_csv:
        table = ([_plain(cell) for cell in row] for row in (names, *answer["rows"]))
        csv.writer(sys.stdout, lineterminator="\n").writerows(table)
    else:
        _print_table(names, answer)
        more = f", there are more: --limit {wanted.limit * 10}" if answer["truncated"] else ""
        _summary(answer, len(answer["rows"]), "row", more)
    _print_hints(answer)


def _plain(cell: Any) -> Any:
    """A cell of CSV that is neither a formula for a spreadsheet nor a command for a terminal."""
    return re.sub(r"^(?=[=+@\t\r-])", "'", visible(cell)) if isinstance(cell, str) else cell


def _print_table(names: list[str], answer: dict[str, Any]) -> None:
    shown = [names, *(["" if cell is None else str(cell) for cell in row] for row in answer["rows"])]
    cells = [[visible(cell).replace("\n", "\\n") for cell in row] for row in shown]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        line = ""
        for cell, width, column in zip(row, widths, answer["columns"], strict=True):
            blanks = " " * (width - cell_len(cell))
            line += (blanks + cell if column["kind"] == "number" else cell + blanks) + "  "
        sys.stdout.write(line.rstrip() + "\n")


def _print_hints(answer: dict[str, Any]) -> None:
    for hint in answer["hints"]:
        _note(visible(hint))


def _note(text: str, style: str = "yellow") -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, style=style, markup=False)


def fields(url: str, since: str, until: str, *, as_json: bool) -> None:
    """Print the fields of a range, each with how many events have it. Raises LogbrookError."""
    answer = _answer(url, "fields", {"from": since, "to": until})
    for each in answer["fields"]:
        if as_json:
            _print_json(each)
        else:
            _print_counted(each["events"], visible(each["name"]))


def patterns(url: str, wanted: Wanted, *, as_json: bool) -> None:
    """Print similar lines grouped, the most frequent first. Raises LogbrookError."""
    answer = _answer(url, "patterns", wanted.parameters(wanted.limit))
    for each in answer["patterns"]:
        if as_json:
            _print_json(each)
        else:
            services = visible(",".join(each["services"]))
            _print_counted(each["count"], f"{each['severity']:<5} {services} {visible(each['pattern'])}")
    if not answer["exact"] and not as_json:
        sys.stderr.write(f"of the newest {answer['events_counted']:,} matches\n")


def _print_counted(count: int, text: str) -> None:
    # A column has the count 0: it is not known.
    number = f"{count:,}" if count else ""
    sys.stdout.write(f"{number:>12}  " + text.replace("\n", "\\n") + "\n")


def _answer(url: str, path: str, parameters: dict[str, str | int]) -> dict[str, Any]:
    with _service(url) as client:
        return _get(client, path, parameters)


def _get(client: httpx.Client, path: str, parameters: dict[str, str | int]) -> dict[str, Any]:
    response = client.get(f"/v1/{path}", params=parameters)
    if response.status_code != 200:
        _refused(response, str(parameters.get("query", "")))
    return dict(response.json())


@contextmanager
def _service(url: str) -> Iterator[httpx.Client]:
    with (
        reached(url),
        httpx.Client(base_url=url, headers=config.query_authorization(), timeout=60, trust_env=False) as client,
    ):
        yield client


def _follow(client: httpx.Client, query: str, seen: set[str], show: Callable[[dict[str, Any]], None]) -> None:
    late = False
    for found in _followed(client, query):
        if isinstance(found, dict):
            # Only when it changes: a line a second would bury the events.
            if _is_late(found) != late:
                late = not late
                _note(_completeness(found))
            continue
        for event in found:
            if event["id"] not in seen:
                show(event)


def _whole(client: httpx.Client, event: dict[str, Any]) -> dict[str, Any]:
    """The event with nothing cut off: programs get all of it."""
    if not event["truncated"]:
        return event
    response = client.get(f"/v1/events/{quote(event['id'], safe='')}")
    return dict(response.json()["event"]) if response.status_code == 200 else event


def _search(client: httpx.Client, wanted: Wanted) -> dict[str, Any]:
    """The newest matches, page after page until there are enough, or until Ctrl-C."""
    found: dict[str, Any] = {"events": [], "hints": [], "cursor": "", "cost": None, "interrupted": False}
    try:
        with Console(stderr=True).status("searching") as status:
            while found["cursor"] is not None and len(found["events"]) < wanted.limit:
                page = _page(client, wanted, found["cursor"], min(_PAGE, wanted.limit - len(found["events"])))
                events, hints = found["events"] + page["events"], found["hints"] or page["hints"]
                found |= {**page, "events": events, "hints": hints}
                status.update(f"{len(events):,} of at most {wanted.limit:,} events")
    except KeyboardInterrupt:
        found["interrupted"] = True
    return found


def _page(client: httpx.Client, wanted: Wanted, cursor: str, limit: int) -> dict[str, Any]:
    return _get(client, "search", wanted.parameters(limit, cursor=cursor))


def _refused(response: httpx.Response, query: str) -> NoReturn:
    error = refusal(response)
    place = error.place if isinstance(error, RejectedError) else {}
    message = str(error)
    if "position" in place and "expected" in place:
        message += f"; expected {place['expected']}\n  {query}\n  {' ' * int(place['position'])}^"
    raise SearchError(message)


def _followed(client: httpx.Client, query: str) -> Iterator[list[dict[str, Any]] | dict[str, Any]]:
    """Events as they arrive, and how complete they are; without end."""
    name = ""
    with client.stream("GET", "/v1/tail", params={"query": query}, timeout=None) as response:
        if response.status_code != 200:
            response.read()
            _refused(response, query)
        for line in response.iter_lines():
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: ") and name in ("events", "complete"):
                yield orjson.loads(line[6:])


def _print_json(document: dict[str, Any]) -> None:
    # JSON itself escapes only the control characters below U+0020; within its strings the others may be escaped, too.
    text = _HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", orjson.dumps(document).decode())
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _show(console: Console, event: dict[str, Any]) -> None:
    line = Text()
    line.append(event["timestamp"][:23].replace("T", " ") + "Z", style="dim")
    line.append(f" {event['severity']:<5} ", style=_STYLES[event["severity"]])
    line.append(visible(event["service"]).replace("\n", "\\n") or "-", style="green")
    # Indented, so that no line of a body looks like an event of its own.
    line.append(" " + visible(event["body"]).replace("\n", "\n    "))
    if event["truncated"]:
        line.append(f" … {event['body_bytes']} bytes, id {event['id']}", style="dim")
    console.print(line)


def visible(text: str) -> str:
    """The text with hidden characters written out."""
    return _HIDDEN.sub(lambda found: f"\\u{{{ord(found[0]):x}}}", text)


def _summary(answer: dict[str, Any], count: int, what: str, more: str) -> None:
    cost = answer["cost"]
    _note(
        f"{count} {what}{'' if count == 1 else 's'} in {cost['elapsed_ms']:.0f} ms, "
        f"{cost['rows_read']} of {cost['table_rows']} rows read{more}",
        "dim",
    )
    _note(_completeness(answer), "yellow" if _is_late(answer) else "dim")


def _is_late(answer: dict[str, Any]) -> bool:
    """Whether an answer lacks what arrived more than a moment ago, or its completeness is no longer reported."""
    if answer["pending_messages"] is None:
        return answer["unknown_since"] is not None
    return answer["behind_seconds"] is None or answer["behind_seconds"] > _MOMENT_SECONDS


def _completeness(answer: dict[str, Any]) -> str:
    """How complete an answer is, in words."""
    until, pending, since = (answer[name] for name in ("complete_until", "pending_messages", "unknown_since"))
    if pending is None:
        return f"not known to be complete since {since[:19]}Z" if since else "not known whether complete"
    waiting = f"; {pending:,} messages pending" if _is_late(answer) else ""
    return f"complete up to {until[:19]}Z{waiting}" if until else f"not complete{waiting}"


def views(url: str, export: Path | None, given: Path | None, by: str, *, as_json: bool) -> None:
    """Print the saved views, or write them to a file as YAML, or save those of such a file. Raises LogbrookError.

    The file maps names to views. Only new and changed views are saved.
    """
    there = {each["name"]: each for each in _answer(url, "views", {})["views"]}
    if given is not None:
        _save(url, _views_of(given), there, by)
    elif export is not None:
        document = {name: each["view"] for name, each in there.items()}
        export.write_text(yaml.safe_dump(document, allow_unicode=True, sort_keys=False))
        sys.stderr.write(f"{len(document)} views written to {export}\n")
    else:
        for name, each in there.items():
            if as_json:
                _print_json(each)
            else:
                text = f"{name}  {each['view'].get('query', '')}  ({each['owner']})"
                sys.stdout.write(visible(text).replace("\n", "\\n") + "\n")


def _views_of(file: Path) -> dict[str, dict[str, str]]:
    try:
        # Every value of a view is text; other loaders would read a time as a date.
        found = yaml.load(file.read_text(), yaml.BaseLoader)  # noqa: S506 - it makes text, lists, and maps alone
        return msgspec.convert(found or {}, dict[str, dict[str, str]])
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SearchError(f"{file}: expected views by name, as --export writes them: {error}") from None


def _save(url: str, wanted: dict[str, dict[str, str]], there: dict[str, dict[str, Any]], by: str) -> None:
    changed = {name: view for name, view in wanted.items() if name not in there or there[name]["view"] != view}
    with _service(url) as client:
        for name, view in changed.items():
            response = client.put(
                f"/v1/views/{quote(name, safe='')}",
                params={"version": there[name]["version"] if name in there else 0},
                headers={identity.HEADER: quote(by)},
                json=view,
            )
            if response.status_code != 200:
                sys.stderr.write(f"{visible(name)} is not saved:\n")
                _refused(response, "")
    sys.stderr.write(f"{len(changed)} views saved, {len(wanted) - len(changed)} as they were\n")
