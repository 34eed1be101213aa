"""Migrations can be repeated, run side by side, and say what to do when they can't go on."""

import contextlib
import multiprocessing
import uuid
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from logbrook import config, migrate, schema
from logbrook.clickhouse import HttpClient, connect
from logbrook.errors import SchemaError, UnavailableError
from logbrook.kafka import client_config
from logbrook.schema import File
from logbrook.topic import _done, create_topic, plan
from logbrook.waiting import need_tables
from tests.components import ClickHouseServer, KafkaBroker, schema_of, until

NAMES = [file.name for file in (*schema.tables(), *schema.views())]
TABLES = NAMES[0]


@pytest.fixture
def empty(clickhouse: ClickHouseServer) -> Iterator[config.ClickHouse]:
    """The name of a database that does not exist yet."""
    settings = clickhouse.settings(f"migrate_{uuid.uuid4().hex[:12]}")
    yield settings
    client = connect(settings, database="default")
    client.command(f"DROP DATABASE IF EXISTS {settings.database} SYNC")
    client.close()


@pytest.fixture
def client(database: config.ClickHouse) -> Iterator[HttpClient]:
    """A client of a fresh, migrated database."""
    client = connect(database)
    yield client
    client.close()


def definition(client: HttpClient, table: str) -> str:
    """The statement that would create the table as it is now."""
    answer = client.query(
        "SELECT create_table_query FROM system.tables WHERE database = currentDatabase() AND name = {name:String}",
        parameters={"name": table},
    )
    return str(answer.result_rows[0][0])


def test_the_files_are_applied_once_in_order(empty: config.ClickHouse) -> None:
    """The first run applies the tables in the order of their numbers, then the views; the second run nothing."""
    assert migrate.apply(config.Schema(), empty) == NAMES
    assert migrate.apply(config.Schema(), empty) == []


def test_what_tests_copy_is_what_a_migration_makes(empty: config.ClickHouse, database: config.ClickHouse) -> None:
    """The databases of other tests have the same tables and views, and a migration has nothing to do there."""
    migrate.apply(config.Schema(), empty)
    client = connect(empty)
    made, copied = (
        {name: statement.replace(there, "DATABASE") for name, statement in schema_of(client, there)[0]}
        for there in (empty.database, database.database)
    )
    client.close()

    assert copied == made
    assert migrate.apply(config.Schema(), database) == []


def test_every_statement_can_run_again(database: config.ClickHouse, client: HttpClient) -> None:
    """When the record of what was applied is gone, all files run again without a change."""
    tables = "SELECT name, create_table_query FROM system.tables WHERE database = currentDatabase() ORDER BY name"
    before = client.query(tables).result_rows
    client.command("TRUNCATE TABLE schema_migrations")
    assert migrate.apply(config.Schema(), database) == NAMES
    assert client.query(tables).result_rows == before


def test_two_at_once_both_succeed(empty: config.ClickHouse) -> None:
    """Processes that migrate the same new database together all come to an end, with the same outcome."""
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=migrate.apply, args=(config.Schema(), empty)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert migrate.apply(config.Schema(), empty) == []


def test_a_database_from_before_the_views_is_refused(database: config.ClickHouse, client: HttpClient) -> None:
    """Files that had no folder yet are those of a version that can't be continued."""
    client.command("INSERT INTO schema_migrations (name, checksum) SELECT '0003_parse.sql', 'x'")
    with pytest.raises(SchemaError, match=r"0003_parse.sql was applied.*logbrook restore"):
        migrate.apply(config.Schema(), database)


def edited(monkeypatch: pytest.MonkeyPatch, view: str, before: str, after: str) -> str:
    """Change the text of a view's file; its name."""
    files = schema.views()
    [index] = [place for place, file in enumerate(files) if file.view == view]
    assert before in files[index].text
    files[index] = replace(files[index], text=files[index].text.replace(before, after))
    monkeypatch.setattr(schema, "views", lambda: files)
    return files[index].name


def stored(client: HttpClient, offset: int, payload: str) -> tuple[str, str]:
    """Severity and parse error of a message that arrives now."""
    columns = ["topic", "topic_id", "offset", "payload"]
    client.insert("arrivals", [["logs", "t", offset, payload]], column_names=columns)
    look = f"SELECT SeverityText, ParseError FROM otel_logs WHERE KafkaOffset = {offset}"
    [row] = client.query(look).result_rows
    return row[0], row[1]


def test_a_view_that_changed_is_applied_again(
    database: config.ClickHouse, client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its new text holds for what arrives from then on; a plan says so before, and nothing afterwards."""
    line = '{"level":"info","message":"x"}'
    assert stored(client, 1, line) == ("INFO", "")
    name = edited(monkeypatch, "parsed_view", "level_texts[level_known]", "lower(level_texts[level_known])")

    [step] = migrate.plan(config.Schema(), database)
    assert step.summary() == ["ALTER TABLE parsed_view MODIFY QUERY WITH ..."]
    assert stored(client, 2, line) == ("INFO", "")
    assert migrate.apply(config.Schema(), database) == [name]

    assert stored(client, 3, line) == ("info", "")
    assert migrate.plan(config.Schema(), database) == []
    monkeypatch.undo()
    assert migrate.apply(config.Schema(), database) == [name]
    assert stored(client, 4, line) == ("INFO", "")


def test_another_bound_of_names_reaches_the_views(database: config.ClickHouse, client: HttpClient) -> None:
    """A setting within a view's text is applied by running the migrations again."""
    line = '{"level":"info","a":1,"b":2}'
    assert stored(client, 1, line) == ("INFO", "")
    changed = [f"views/{name}_view.sql" for name in ("parsed", "route", "text")]
    assert migrate.apply(config.Schema(max_event_names=1), database) == changed
    assert stored(client, 2, line) == ("INFO", "too many names")
    assert migrate.apply(config.Schema(max_event_names=1), database) == []


def test_events_from_before_an_index_are_found(empty: config.ClickHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """Indexes that come later find what is stored already, and are made for it in the background."""
    files = schema.tables()
    monkeypatch.setattr(schema, "tables", lambda: [file for file in files if file.name < "tables/0008"])
    migrate.apply(config.Schema(), empty)
    client = connect(empty)
    client.command(
        "INSERT INTO otel_logs (Timestamp, IngestedAt, Body, LogAttributes)"
        " VALUES (now(), now(), 'order 17 placed', {'id': '5621f130208a1fd0', 'to': 'x'})"
    )
    monkeypatch.undo()

    migrate.apply(config.Schema(), empty)

    kinds = {"BodyWords": "placed", "BodyNumbers": "17", "Ids": "5621f130208a1fd0", "LogAttributeTerms": "to=x"}
    counted = ", ".join(f"(SELECT count() FROM otel_logs WHERE has({kind}, '{word}'))" for kind, word in kinds.items())
    assert client.query(f"SELECT {counted}").result_rows == [(1, 1, 1, 1)]
    pending = "SELECT count() FROM system.mutations WHERE database = currentDatabase() AND NOT is_done"
    until(lambda: client.query(pending).result_rows == [(0,)])
    assert client.query(f"SELECT {counted}").result_rows == [(1, 1, 1, 1)]
    sizes = (
        "SELECT name FROM system.data_skipping_indices WHERE database = currentDatabase() AND table = 'otel_logs'"
        " AND data_compressed_bytes > 0"
    )
    assert {"by_word", "by_number", "by_id", "by_log_term"} <= {row[0] for row in client.query(sizes).result_rows}
    client.close()


def test_a_view_that_is_not_ours_any_more_is_refused(database: config.ClickHouse, client: HttpClient) -> None:
    """It would store events a second time. The error says what to do, and that works."""
    client.command("CREATE MATERIALIZED VIEW more_view TO otel_logs AS SELECT payload AS Body FROM arrivals")
    client.command("INSERT INTO schema_migrations (name, checksum) SELECT 'views/more_view.sql', 'x'")

    with pytest.raises(SchemaError, match=r"has more_view.*Stop the consumers, run (.*) and migrate again") as refused:
        migrate.apply(config.Schema(), database)

    for statement in str(refused.value).partition("run ")[2].split(";")[:2]:
        client.command(statement)
    assert migrate.apply(config.Schema(), database) == []


def test_a_plan_of_a_new_database_has_every_file(empty: config.ClickHouse) -> None:
    """It names what would be applied, and nothing is."""
    assert [step.what for step in migrate.plan(config.Schema(), empty)][2:] == NAMES
    assert [step.what for step in migrate.plan(config.Schema(), empty)][2:] == NAMES


def test_a_file_that_changed_is_refused(database: config.ClickHouse, client: HttpClient) -> None:
    """An applied file whose text is another now stops the migration, and the error says what to do."""
    client.command(f"INSERT INTO schema_migrations (name, checksum) SELECT '{TABLES}', 'another'")
    with pytest.raises(
        SchemaError, match=rf"{TABLES} .*logbrook backup.*logbrook restore.*#upgrade.*new file with a higher number"
    ):
        migrate.apply(config.Schema(), database)


def test_an_older_version_leaves_a_newer_ones_tables_alone(database: config.ClickHouse, client: HttpClient) -> None:
    """After a rollback: what only the newer version has is neither refused nor changed, and nothing is waited for."""
    client.command("CREATE TABLE newer (a Int8) ENGINE = MergeTree ORDER BY a")
    client.command("INSERT INTO schema_migrations (name, checksum) VALUES ('tables/9999_newer.sql', 'of the newer')")
    before = definition(client, "newer")

    assert migrate.apply(config.Schema(), database) == []
    need_tables(database)
    assert definition(client, "newer") == before


def test_parameters_are_no_part_of_the_checksum(database: config.ClickHouse, client: HttpClient) -> None:
    """Another retention takes effect on the tables by running the migrations again."""
    assert "toIntervalDay(30)" in definition(client, "otel_logs")
    assert migrate.apply(config.Schema(retention_days=5), database) == [
        f"{table}: 5 days of retention" for table in ("idempotency_keys", "otel_logs")
    ]
    assert "toIntervalDay(5)" in definition(client, "otel_logs")
    assert "toIntervalDay(5)" in definition(client, "idempotency_keys")
    assert "ttl_only_drop_parts = 1" in definition(client, "otel_logs")


def test_a_shorter_retention_applies_to_what_is_stored(database: config.ClickHouse, client: HttpClient) -> None:
    """Rows older than a retention that was shortened later are removed without being written again."""
    client.command(
        "INSERT INTO otel_logs (Timestamp, IngestedAt, Body)"
        " VALUES (now(), now() - INTERVAL 10 DAY, 'old'), (now(), now(), 'new')"
    )
    migrate.apply(config.Schema(retention_days=5), database)
    client.command("OPTIMIZE TABLE otel_logs FINAL")
    bodies = "SELECT groupArray(Body) FROM otel_logs"
    assert client.query(bodies).result_rows[0][0] == ["new"]


def test_system_logs_get_a_ttl(database: config.ClickHouse, client: HttpClient) -> None:
    """ClickHouse's own logs lose old rows: without a TTL they get one, one in days follows the setting, others stay."""
    ttls = {"a_log": "", "b_log_1": "TTL event_date + toIntervalDay(3)", "c_log": "TTL event_date + toIntervalMonth(1)"}
    for name, ttl in ttls.items():
        client.command(f"CREATE TABLE system.{name} (event_date Date, x Int8) ENGINE = MergeTree ORDER BY x {ttl}")
    try:
        migrate.apply(config.Schema(system_log_retention_days=9), database)
        engines = "SELECT name, extract(engine_full, 'TTL (.*) SETTINGS') FROM system.tables WHERE database = 'system'"
        found = {row[0]: row[1] for row in client.query(engines).result_rows}
    finally:
        for name in ttls:
            client.command(f"DROP TABLE system.{name} SYNC")
    days = "event_date + toIntervalDay(9)"
    assert {name: found[name] for name in ttls} == {
        "a_log": days,
        "b_log_1": days,
        "c_log": "event_date + toIntervalMonth(1)",
    }


def test_a_refused_statement_names_its_file(empty: config.ClickHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of ClickHouse says which file and statement it is about; nothing is recorded as applied."""
    broken = File("tables/0001_broken.sql", "CREATE TABLE a (x Nonsense) ENGINE = Null;\n")
    monkeypatch.setattr(schema, "tables", lambda: [broken])
    with pytest.raises(SchemaError, match=r"tables/0001_broken.sql: .*CREATE TABLE a.*Nonsense"):
        migrate.apply(config.Schema(), empty)
    monkeypatch.undo()
    assert migrate.apply(config.Schema(), empty) == NAMES


def test_a_database_name_is_quoted(clickhouse: ClickHouseServer) -> None:
    """A database may have any name."""
    settings = clickhouse.settings(f"logs `{uuid.uuid4()}`")
    assert migrate.apply(config.Schema(), settings) == NAMES
    client = connect(settings)
    client.command(f"DROP DATABASE `{settings.database.replace('`', chr(92) + '`')}` SYNC")
    client.close()


def test_it_waits_for_a_bounded_time() -> None:
    """Without ClickHouse or Kafka the migration gives up after the time that it is given, and says where it asked."""
    nowhere = config.ClickHouse(port=1, password="x")
    with pytest.raises(UnavailableError, match=r"no answer within 1 s: ClickHouse at 127.0.0.1:1"):
        migrate.apply(config.Schema(), nowhere, wait_seconds=1)
    with pytest.raises(UnavailableError, match=r"no answer within 1 s: Kafka at 127.0.0.1:1"):
        create_topic(config.Kafka(bootstrap_servers="127.0.0.1:1"), wait_seconds=1)


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("SELECT 1;\nSELECT 2;\n", ["SELECT 1", "SELECT 2"]),
        ("-- only a comment;\n", []),
        ("-- first; second\nSELECT ';', 1\n  FROM x;  \n\n-- end\n", ["-- first; second\nSELECT ';', 1\n  FROM x"]),
        ("SELECT {retention_days}, '\\d{4}', {other}", ["SELECT 30, '\\d{4}', {other}"]),
    ],
)
def test_a_semicolon_at_the_end_of_a_line_ends_a_statement(text: str, statements: list[str]) -> None:
    """Statements are told apart by line ends alone; only our own parameters are filled in."""
    assert File("tables/0001_x.sql", text).statements(config.Schema(), "otel") == statements


def test_the_files_keep_to_the_rules() -> None:
    """Every statement of every file can be repeated by what it says, and no comment line ends one."""
    for file in (*schema.tables(), *schema.views()):
        assert not [line for line in file.text.splitlines() if line.startswith("--") and line.endswith(";")]
        for statement in file.statements(config.Schema(), "otel"):
            # What is materialized again is left as it is.
            assert any(each in statement for each in ("IF NOT EXISTS", "IF EXISTS", "MODIFY", "MATERIALIZE"))


def topic_settings(settings: config.Kafka) -> tuple[int, int, dict[str, str]]:
    """Partitions, copies and the settings of a topic, as Kafka says."""
    admin = AdminClient(client_config(settings))
    partitions = admin.list_topics(settings.topic, timeout=10).topics[settings.topic].partitions
    resource = ConfigResource(ResourceType.TOPIC, settings.topic)
    entries = admin.describe_configs([resource])[resource].result(10)
    return len(partitions), len(partitions[0].replicas), {name: entry.value for name, entry in entries.items()}


def test_the_topic_is_created_as_configured(kafka: KafkaBroker) -> None:
    """A new topic has the partitions and the retention of the settings, in segments of a quarter of it."""
    settings = replace(kafka.settings(f"t-{uuid.uuid4().hex}"), partitions=3, retention_hours=5, retention_bytes=10**9)
    assert create_topic(settings) is True
    partitions, copies, values = topic_settings(settings)
    assert (partitions, copies) == (3, 1)
    assert (values["retention.ms"], values["retention.bytes"]) == (str(5 * 3600 * 1000), str(10**9))
    assert values["segment.ms"] == str(5 * 900 * 1000)


def test_an_existing_topic_is_brought_in_line(kafka: KafkaBroker, capfd: pytest.CaptureFixture[str]) -> None:
    """Retention is changed and partitions are added; they are never removed, which a warning says."""
    settings = replace(kafka.settings(f"t-{uuid.uuid4().hex}"), partitions=2)
    assert plan(settings) == ["create the topic with 2 partitions"]
    assert create_topic(settings) is True
    assert plan(settings) == []
    more = replace(settings, partitions=4, retention_hours=1)
    assert plan(more) == [
        f"retention.ms = 3600000, now {settings.retention_hours * 3_600_000}",
        f"segment.ms = 900000, now {settings.retention_hours * 900_000}",
        "4 partitions, now 2",
    ]
    assert create_topic(more) is False
    partitions, _, values = topic_settings(settings)
    assert (partitions, values["retention.ms"]) == (4, "3600000")
    assert create_topic(replace(settings, partitions=3)) is False
    assert topic_settings(settings)[0] == 4
    assert "LOGBROOK_KAFKA_PARTITIONS" in capfd.readouterr().out


def test_a_topic_that_kafka_refuses_is_an_error(kafka: KafkaBroker) -> None:
    """More copies than brokers is an error that says so."""
    settings = replace(kafka.settings(f"t-{uuid.uuid4().hex}"), replication_factor=3)
    with pytest.raises(SchemaError, match=r"(?i)replication factor: 3"):
        create_topic(settings)


@pytest.mark.parametrize("code", [KafkaError.UNKNOWN, KafkaError.NOT_CONTROLLER])
def test_a_broker_that_is_coming_back_is_waited_for(code: int) -> None:
    """What it answers around the renewal of its session with ZooKeeper passes, so it is tried again."""
    answer = Future[None]()
    answer.set_exception(KafkaException(KafkaError(code)))

    with pytest.raises(UnavailableError):
        _done({"logs": answer}, "logs")


def test_a_broker_that_does_not_answer_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that has too much to do for an answer in time is unavailable, so it is asked again."""
    monkeypatch.setattr("logbrook.topic._KAFKA_TIMEOUT_SECONDS", 0.01)

    with pytest.raises(UnavailableError, match=r"topic 'logs': Kafka did not answer within 0\.01 s"):
        _done({"logs": Future[None]()}, "logs")


def test_two_create_the_topic_at_once(kafka: KafkaBroker) -> None:
    """Processes that create the same topic together all succeed."""
    settings = kafka.settings(f"t-{uuid.uuid4().hex}")
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=create_topic, args=(settings,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert topic_settings(settings)[0] == settings.partitions


def test_a_topic_is_created_after_the_deletion_of_the_old_one(
    kafka: KafkaBroker, capfd: pytest.CaptureFixture[str]
) -> None:
    """While an old topic of the name is being deleted, creation waits until it is gone; then it creates the new one."""
    settings = replace(kafka.settings(f"again-{uuid.uuid4().hex[:12]}"), partitions=100)
    create_topic(settings)
    admin = AdminClient(client_config(settings))
    until(lambda: len(admin.list_topics(timeout=10).topics[settings.topic].partitions) == 100)
    for future in admin.delete_topics([settings.topic], operation_timeout=0).values():
        with contextlib.suppress(KafkaException):  # "timed out": it goes on
            future.result(30)

    assert create_topic(replace(settings, partitions=2)) is True

    assert topic_settings(settings)[0] == 2
    assert "waiting for Kafka" in "".join(capfd.readouterr())
