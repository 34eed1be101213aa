"""ClickHouse: are we let in, may we do our work, and are the tables those of this version?"""

from logbrook import schema as files
from logbrook.clickhouse import UNKNOWN_TABLE, ClickHouseError, HttpClient, error_code
from logbrook.doctor import network
from logbrook.doctor.diagnosis import Answer, Diagnosis, NotCheckedError
from logbrook.doctor.place import Place
from logbrook.errors import UnavailableError

SILENT = Diagnosis(
    "clickhouse.silent",
    "Something accepts connections where ClickHouse should be, and does not answer as ClickHouse does.",
    "Look whether that port is ClickHouse's HTTP port. Docker accepts connections for a container in which nothing "
    "listens yet: `docker ps` and `docker logs` say why. Else the server hangs: see its memory and its disk.",
)
CREDENTIALS = Diagnosis(
    "clickhouse.credentials",
    "ClickHouse refuses the user or its password, or does not let that user come from here.",
    "Correct LOGBROOK_CLICKHOUSE_USERNAME and LOGBROOK_CLICKHOUSE_PASSWORD (`.env` has the local stack's). The data "
    "node's administrator `logbrook` may log in on the node only.",
)
RIGHTS = Diagnosis(
    "clickhouse.rights",
    "The user lacks rights that its role needs.",
    "Grant what is missing in the users' configuration: compose/clickhouse/users.xml, on GCP cloud-users.xml.",
)
SCHEMA_MISSING = Diagnosis("schema.missing", "The tables are not there.", "Run `logbrook migrate`, which creates them.")
SCHEMA_OLDER = Diagnosis(
    "schema.older", "The tables are older than this version of Logbrook.", "Run this version's `logbrook migrate`."
)
SCHEMA_NEWER = Diagnosis(
    "schema.newer",
    "The tables are newer than this version of Logbrook: it works, since migrations only add, but does not know all.",
    "Finish the upgrade: run the same version everywhere.",
    "warning",
)
SCHEMA_CHANGED = Diagnosis(
    "schema.changed",
    "A schema file was applied with other contents than this version has: another version made the tables.",
    "There is no upgrade in place between the two: back up with the version that made them, make the database anew "
    "with this one, and restore (docs/operations.md, Upgrade). A file that you changed: restore it.",
)
ACCESS_DENIED = 497
_UNKNOWN_DATABASE, _AUTHENTICATION_FAILED = 81, 516
# What compose/clickhouse/cloud-users.xml grants to `writer`.
_OF_THE_DATABASE = ("SELECT", "INSERT", "CREATE TABLE", "CREATE VIEW", "DROP TABLE", "DROP VIEW")
_ELSEWHERE = ("TABLE ENGINE ON `Null`", "SELECT ON system.tables", "SELECT ON system.processes", "KILL QUERY ON *.*")


def _target(place: Place) -> network.Target:
    to = place.database
    return network.Target(to.host, to.port, "LOGBROOK_CLICKHOUSE_HOST, _PORT", to.secure)


def address(place: Place) -> Answer:
    """Whether ClickHouse's port can be reached."""
    return network.reach(_target(place))


def login(place: Place) -> Answer:
    """Whether ClickHouse answers, and lets us in."""
    to, user = _target(place), place.database.username
    try:
        client = place.client("default")
    except UnavailableError as error:
        code = _code(error)
        if code == _AUTHENTICATION_FAILED:
            return CREDENTIALS.found(f"{to.host}:{to.port}, user {user!r}")
        if code is None and not to.tls and network.speaks_tls(to):
            return network.TLS_EXPECTED.found(str(to))
        return SILENT.found(f"{to}: {str(error.__cause__)[:300]}")
    client.close()
    return f"ClickHouse {client.server_version} lets {user} in"


def _code(error: Exception) -> int | None:
    """ClickHouse's code, also where it made a connection fail."""
    cause = error.__cause__ if isinstance(error, UnavailableError) else error
    return error_code(cause) if isinstance(cause, ClickHouseError) else None


def rights(place: Place) -> Answer:
    """Whether the user may do what its role needs.

    `CHECK GRANT` itself needs no right, and answers 0 or 1 (ClickHouse, InterpreterCheckGrantQuery.cpp at 01224a68).
    """
    role = place.role or ("query" if place.database.username == "reader" else "consumer")
    name, client = place.database.database, place.client("default")
    if role == "query":
        missing = [] if _allowed(client, f"SELECT 1 FROM {name}.otel_logs LIMIT 1") else [f"SELECT ON {name}.otel_logs"]
    else:
        needed = [f"{right} ON {name}.*" for right in _OF_THE_DATABASE] + list(_ELSEWHERE)
        missing = [each for each in needed if not _allowed(client, f"CHECK GRANT {each}")]
    client.close()
    if missing:
        return RIGHTS.found(f"{place.database.username!r} as a {role} lacks {', '.join(missing)}")
    return f"all that a {role} needs"


def _allowed(client: HttpClient, statement: str) -> bool:
    try:
        rows = client.query(statement).result_rows
    except ClickHouseError as error:
        if error_code(error) == ACCESS_DENIED:
            return False
        raise
    return not rows or bool(rows[0][0])


def schema(place: Place) -> Answer:
    """Whether the tables are those of this version."""
    name = place.database.database
    try:
        rows = place.ask("SELECT name, argMax(checksum, applied_at) FROM schema_migrations GROUP BY name")
    except (ClickHouseError, UnavailableError) as error:
        if _code(error) in (UNKNOWN_TABLE, _UNKNOWN_DATABASE):
            return SCHEMA_MISSING.found(f"database {name!r} has no table schema_migrations")
        if _code(error) == ACCESS_DENIED:
            raise NotCheckedError(f"{place.database.username} may not see which schema files were applied") from None
        raise
    # Of a view, settings stand behind the checksum.
    applied: dict[str, str] = {row[0]: row[1].split()[0] for row in rows}
    known = {each.name: each.checksum for each in (*files.tables(), *files.views())}
    changed = {each for each in applied.keys() & known.keys() if applied[each] != known[each]}
    views = {each.name for each in files.views()}
    for kind, names in (
        (SCHEMA_CHANGED, changed - views),
        (SCHEMA_OLDER, known.keys() - applied.keys() | changed & views),
        (SCHEMA_NEWER, applied.keys() - known.keys()),
    ):
        if names:
            return kind.found(f"database {name!r}: {', '.join(sorted(names))}")
    return f"database {name} has all {len(known)} files"
