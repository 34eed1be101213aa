"""docs/sources: each recipe, as it is there but for address and token, delivers what it should, and its mutants do not.

Its block is read from the page. It is run by the real program (programs.py), or replayed as the program sends it
(shippers.py), or the lines that it makes a program print are sent. What came of it is a row of docs/sources/matrix.md.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import httpx
import pytest

from tests.components import REPOSITORY
from tests.e2e import pipeline as pipelines
from tests.e2e import programs, shippers
from tests.e2e.pipeline import Pipeline
from tests.e2e.programs import GATEWAY, Edge, Place, program, python, shell
from tests.e2e.programs import through_collector as through
from tests.e2e.shippers import COUNT, Machine
from tests.recipes import BLOCKS, PAGES, mutants, record, recorded

Fields = Mapping[str, str | list[str]]
Run = Callable[[str, Place], None]
Form = tuple[str, str] | str


@dataclass(frozen=True)
class Recipe:
    """How a block is run, and the fields of its events: `{n}` stands for an event's number, a list has a text for each.

    `form` is what says in which form it sends, and another form; or why there is no such mutant.
    """

    how: str
    run: Run
    fields: Fields
    form: Form
    count: int = COUNT
    # Whether it goes through the gateway.
    is_counted: bool = True

    def rows(self) -> list[tuple[str | bytes, ...]]:
        """The rows of its events."""
        return sorted(tuple(self._cell(name, n) for name in self.fields) for n in range(self.count))

    def _cell(self, name: str, n: int) -> str | bytes:
        value = self.fields[name]
        text = value.format(n=n) if isinstance(value, str) else value[n]
        return text.encode() if name == "Body" else text

    def mutants(self, block: str) -> dict[str, str]:
        """Its mutants, by what is changed."""
        return mutants(block, None if isinstance(self.form, str) else self.form)


def replayed(shipper: Callable[[str, Machine], None], form: Form, **more: str) -> Recipe:
    """The requests of a shipper that is not installed, and the attributes that its events have besides."""

    def run(block: str, place: Place) -> None:
        shipper(block, Machine(place.pipeline))

    return Recipe(
        "its requests, replayed", run, USUAL | {f"LogAttributes['{name}']": more[name] for name in more}, form
    )


def ran(language: Callable[[str], Sequence[str]], form: Form, fields: Fields, count: int = 1, use: str = "") -> Recipe:
    """What a block sends when it is run, with `use` after it."""

    def run(block: str, place: Place) -> None:
        program(language(programs.moved(block, place.pipeline) + use), place)

    return Recipe("the program itself", run, fields, form, count)


def printed(lines: Callable[[str, Place], str], fields: Fields, how: str = "its lines", count: int = COUNT) -> Recipe:
    """The lines of JSON that a program prints."""

    def run(block: str, place: Place) -> None:
        headers = {"Authorization": f"Bearer {place.pipeline.token}", "Content-Type": "application/x-ndjson"}
        answer = httpx.post(f"{place.pipeline.gateway_url}/ingest", content=lines(block, place), headers=headers)
        assert answer.is_success, answer.text

    return Recipe(how, run, fields, "it prints, and another recipe sends", count)


AT = "2026-11-28 09:15:02.417000000"
USUAL = {"ServiceName": "shop", "Body": "number {n}", "SeverityText": "WARN", "Timestamp::String": AT}
IN_TEXT = {"ServiceName": "shop", "Body": "WARN number {n}", "SeverityText": "WARN"}
DISK = {"ServiceName": "shop", "Body": "disk is 91% full", "SeverityText": "WARN"}
# For each event an exception, with its number as `item`.
LOOP = f"""
for n in range({COUNT}):
    try:
        1 / 0
    except ZeroDivisionError:
        """
FAILED = {"ServiceName": "cart", "Body": "number {n}", "SeverityText": "ERROR", "LogAttributes['item']": "{n}"}
SYSLOG = {"ServiceName": "backup", "Body": 'a "quoted" line {n}', "SeverityText": "ERROR"}
ANY_TYPE = "the path ignores the content type"
PROTOBUF = "it always sends protobuf"
OTLP = "the Collector sends OTLP"
RECIPES: dict[str, Recipe] = {
    "cloud-logging: Without": ran(shell, ANY_TYPE, {"Body": "hello", "LogAttributes['logName']": "a"}),
    "datadog": ran(shell, ANY_TYPE, DISK | {"LogAttributes['hostname']": "web-1"}),
    "datadog: Datadog's Agent": replayed(
        shippers.datadog_agent, ("use_http: true", "use_http: false"), hostname="web-1"
    ),
    "datadog: Vector": replayed(shippers.vector, ("type: datadog_logs", "type: http"), hostname="web-1"),
    "datadog: Fluent Bit": replayed(shippers.fluent_bit, ("name: datadog", "name: http"), ddsource="nginx"),
    "elasticsearch": ran(
        shell,
        ANY_TYPE,
        {name: DISK[name] for name in DISK if name != "ServiceName"} | {"LogAttributes['_index']": "logs-shop"},
    ),
    "elasticsearch: Filebeat": replayed(shippers.filebeat, ("output.elastic", "output.log"), _index="logs-app"),
    "elasticsearch: Logstash": replayed(shippers.logstash, ("  elasticsearch {", "  http {"), _index="logs-app"),
    "elasticsearch: Vector": replayed(shippers.vector, ("type: elasticsearch", "type: http"), _index="logs-app"),
    "elasticsearch: Fluent Bit": replayed(shippers.fluent_bit, ("name: es", "name: http"), _index="logs-app"),
    "elasticsearch: Python": ran(
        python, ('"create"', '"update"'), {"Body": "payment failed", "LogAttributes['_index']": "logs-app"}
    ),
    "gelf": ran(shell, ANY_TYPE, DISK | {"LogAttributes['host']": "web-1"}),
    "gelf: Vector": replayed(shippers.vector, ("codec: gelf", "codec: text"), host="web-1"),
    "loki": ran(shell, ("/json", "/x-protobuf"), DISK | {"LogAttributes['user']": "u-7"}),
    "loki: Grafana Alloy": replayed(shippers.alloy, PROTOBUF),
    "loki: Promtail": replayed(shippers.promtail, PROTOBUF),
    "loki: Vector": replayed(shippers.vector, ("type: loki", "type: http"), host="web-1"),
    "loki: Fluent Bit": replayed(shippers.fluent_bit, ("name: loki", "name: http")),
    "loki: Python's logging": ran(
        python,
        ('version="1"', 'version="0"'),
        {
            "ServiceName": "shop",
            "Body": "payment failed",
            "SeverityText": "ERROR",
            "ResourceAttributes['order']": "o-1",
        },
    ),
    "splunk": ran(
        shell,
        ANY_TYPE,
        {
            "Body": ["disk is 91% full", "INFO started"],
            "SeverityText": ["WARN", "INFO"],
            "ResourceAttributes['host.name']": "web-1",
        },
        count=2,
    ),
    "splunk: Docker": replayed(shippers.docker, ("splunk-format=raw", "splunk-format=json")),
    "splunk: Vector": replayed(shippers.vector, ("type: splunk_hec_logs", "type: http")),
    "splunk: Fluent Bit": replayed(shippers.fluent_bit, ("name: splunk", "name: http")),
    "splunk: OpenTelemetry Collector": replayed(shippers.collector_to_splunk, ("splunk_hec:", "otlp_http:")),
    "recipes: Python: logging": ran(
        python,
        ("proto.http._log", "proto.grpc._log"),
        FAILED | {"LogAttributes['exception.type']": "ZeroDivisionError"},
        COUNT,
        LOOP + 'logging.getLogger("a").exception("number %d", n, extra={"item": n})\nprovider.shutdown()\n',
    ),
    "recipes: Python: structlog": printed(
        programs.printed_by_python(LOOP + 'log.exception(f"number {n}", item=n)\n'),
        FAILED | {"has(mapKeys(LogAttributes), 'exception')::String": "1"},
    ),
    "recipes: Python: loguru": printed(
        programs.printed_by_python(LOOP + 'logger.bind(item=n).error("number {}", n)\n'),
        {"Body": "number {n}\n", "SeverityText": "ERROR", "LogAttributes['record.extra.item']": "{n}"},
        "its lines",
    ),
    "recipes: Go: slog": printed(programs.printed_by_go, FAILED),
    "recipes: nginx": printed(
        programs.printed_by_nginx,
        {
            "ServiceName": "nginx",
            "Body": 'GET /a"b\\c?d={n} HTTP/1.1',
            "Timestamp::String": "2026-11-28 09:15:02.000000000",
            "LogAttributes['url.path']": '/a"b\\c',
            "LogAttributes['status']": "502",
        },
        "its lines, replayed",
    ),
    "recipes: Envoy": printed(
        programs.printed_by_envoy,
        {
            "ServiceName": "envoy",
            "Body": "GET /number/{n} 503",
            "Timestamp::String": AT,
            "TraceId": "4bf92f3577b34da6a3ce929d0e0e4736",
            "LogAttributes['http.response.status_code']": "503",
            "LogAttributes['duration_ms']": "214",
        },
        "its lines, replayed",
    ),
    "recipes: PostgreSQL": printed(
        programs.printed_by_postgres,
        {"Body": "number {n}", "SeverityText": "ERROR", "Timestamp::String": AT, "LogAttributes['dbname']": "shop"},
        "its lines, replayed",
    ),
    "recipes: Cloud Run and GKE": Recipe(
        "its requests, replayed",
        lambda block, place: shippers.cloud_logging(block, Machine(place.pipeline)),
        {
            "ServiceName": "shop",
            "Body": "disk is 91% full {n}",
            "SeverityText": "WARN",
            "Timestamp::String": AT,
            "TraceId": "4bf92f3577b34da6a3ce929d0e0e4736",
            "LogAttributes['jsonPayload.order']": "o-7",
        },
        "it prints, and Cloud Logging sends",
        10,
    ),
    "recipes: syslog-ng": replayed(
        shippers.syslog_ng, "JSON is recognized in text, too", **{"host.name": "web-1", "process.pid": "4711"}
    ),
    "recipes: Vector": replayed(shippers.vector, ("codec: json", "codec: text"), host="web-1"),
    "recipes: Fluent Bit": replayed(shippers.fluent_bit, ("json_lines", "msgpack")),
    "recipes: rsyslog": Recipe(
        "the program itself",
        programs.by_rsyslog,
        SYSLOG | {"ResourceAttributes['host.name']": "web-1", "LogAttributes['proc_id']": "4711"},
        ("RSYSLOG_SyslogProtocol23Format", "RSYSLOG_FileFormat"),
    ),
    "recipes: rsyslog 1": Recipe(
        "the program itself",
        programs.by_rsyslog,
        SYSLOG | {"LogAttributes['host.name']": "web-1", "LogAttributes['process.pid']": "4711"},
        ('template="logbrook"', 'template="RSYSLOG_FileFormat"'),
        is_counted=False,
    ),
}
# The lines that libraries print, by library, and the sources of the Collector, by their files.
LIBRARIES = {
    f"recipes: Others, as they are ({language}: {library})": line
    for language, library, line in re.findall(
        r"^\| ([\w.]+): \[([^]]+)\].*\| `(\{.*\})` \|$", (PAGES / "recipes.md").read_text(), re.M
    )
}
RECIPES |= {
    name: printed(
        lambda line, _: f"{line}\n",
        {"Body": "failed", "SeverityText": "ERROR", "Timestamp::String": AT},
        "its line, replayed",
        1,
    )
    for name in LIBRARIES
}
RECIPES |= {
    f"collector: Run it ({file}.yaml)": Recipe("the Collector itself", run, fields, OTLP)
    for file, run, fields in (
        ("files", through(programs.to_files), IN_TEXT),
        ("syslog", through(programs.to_syslog), USUAL),
        ("forward", through(programs.to_forward), IN_TEXT | {"Body": "number {n}"}),
        ("docker", through(programs.to_docker), IN_TEXT | {"Timestamp::String": AT}),
        ("otlp", through(programs.to_otlp), USUAL),
        ("journald", programs.by_journal, USUAL),
        ("pods", through(programs.to_pods), IN_TEXT | {"Timestamp::String": AT}),
    )
}
# The text of each: a block of a page, a library's line, or the Collector's gateway.yaml.
TEXTS = {name: BLOCKS.get(name) or LIBRARIES.get(name) or GATEWAY for name in RECIPES}
# Blocks that send nothing, or start what other tests start.
ELSEWHERE = {
    "cloud-logging: With Pulumi": "tests/infra/test_cloud_logging.py",
    "collector: Run it": "tests/e2e/programs.py",
    "collector: Run it 1": "tests/collector/test_sources.py",
    "processing": "tests/collector/test_processors.py",
}


def acknowledged(pipeline: Pipeline) -> int:
    """How many events the gateway has acknowledged so far, but for the stack's own."""
    page = httpx.get(f"{pipeline.gateway_url}/metrics").text
    return sum(int(float(n)) for n in re.findall(r'^gateway_events_total\{source="(?!ship").+\} (\S+)$', page, re.M))


@pytest.fixture(scope="module")
def edges(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Edge]]:
    """A Collector for each gateway.yaml, started when somebody asks."""
    with ExitStack() as running:

        @cache
        def edge(gateway: str) -> Edge:
            return running.enter_context(programs.collecting(gateway, pipeline, tmp_path_factory.mktemp("edge")))

        yield edge


@pytest.fixture
def place(pipeline: Pipeline, tmp_path: Path, edges: Callable[[str], Edge]) -> Place:
    """Where a recipe is run."""
    return Place(pipeline, tmp_path, edges)


def check(recipe: Recipe, text: str, place: Place) -> tuple[int, int]:
    """Run a recipe; how many of its events were acknowledged and stored: all of them, and each as it should be."""
    before, counted = place.pipeline.position(), acknowledged(place.pipeline)
    recipe.run(text, place)
    counted = acknowledged(place.pipeline) - counted
    assert counted == (recipe.count if recipe.is_counted else 0)
    before.wait_for(recipe.count)
    rows = sorted(before.rows(", ".join(recipe.fields)))
    assert rows == recipe.rows()
    assert before.query("SELECT DISTINCT ParseError FROM events") == "\n"
    return counted, len(rows)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_delivers(name: str, place: Place) -> None:
    """Every event that its program sends is acknowledged and stored, with its fields where they belong: the matrix."""
    recipe = RECIPES[name]

    counted, stored = check(recipe, TEXTS[name], place)

    fields = ", ".join(f"`{each.removesuffix('::String')}`" for each in recipe.fields)
    caught = ", ".join(recipe.mutants(TEXTS[name])) or "none"
    why = f"; {recipe.form}" if isinstance(recipe.form, str) else ""
    record(name, recipe.how, recipe.count, counted or "by Kafka", stored, fields, caught + why)


@pytest.mark.skipif("RECIPES_MUTANTS" not in os.environ, reason="runs in `make recipes-mutants`")
@pytest.mark.parametrize(
    ("name", "changed"), [(name, changed) for name, text in TEXTS.items() for changed in RECIPES[name].mutants(text)]
)
def test_a_mutant_of_a_recipe_does_not(name: str, changed: str, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """With another address, path, token, or form, its program fails, or what is stored is not what it should be."""
    monkeypatch.setattr(pipelines, "DEADLINE_SECONDS", 3.0)

    with pytest.raises(AssertionError):
        check(RECIPES[name], RECIPES[name].mutants(TEXTS[name])[changed], place)


def test_every_recipe_has_its_row() -> None:
    """No block of docs/sources is without a test, and the matrix has no row that no test made."""
    assert BLOCKS.keys() - RECIPES.keys() == ELSEWHERE.keys()
    assert recorded() == RECIPES.keys()
    assert all((REPOSITORY / test).exists() for test in ELSEWHERE.values())
