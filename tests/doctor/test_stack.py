"""The whole command on a whole stack without Docker: green where all is well, one diagnosis where it is not."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from logbrook import clickhouse, config, migrate
from logbrook.doctor import checks, place, probe
from native import ports, status
from native.clickhouse import answers
from tests.components import REPOSITORY, NativeStack, until
from tests.doctor import holes
from tests.doctor.examining import diagnosed, examined


def doctor(directory: Path, *arguments: str, **variables: str) -> tuple[int, dict[str, Any]]:
    """Run `logbrook doctor --json` in a directory, in an environment that says nothing else of a stack."""
    environ = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "PYTHONPATH": str(REPOSITORY / "service")}
    command = [sys.executable, "-m", "logbrook", "doctor", "--json", *arguments]
    done = subprocess.run(
        command, cwd=directory, env={**environ, **variables}, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.stdout, done.stderr
    return done.returncode, {each["check"]: each for each in json.loads(done.stdout)["findings"]}


def here(stack: NativeStack, **variables: str) -> place.Place:
    """This process in the stack's directory, with some variables replaced."""
    return place.find(variables, stack.settings.state)


def explicit(stack: NativeStack) -> Mapping[str, str]:
    """The variables of a container of this stack: no `.env` is looked for."""
    return config.of_local_stack(config.read_env_file(stack.settings.env_file))


def test_a_healthy_stack(stack: NativeStack) -> None:
    """Below the `.env`, without any export: everything is in order, and the probe is found at each hop."""
    below = stack.settings.state / "logs"
    code, found = doctor(below)

    assert not [each for each in found.values() if each["state"] != "ok"]
    assert code == 0
    for hop in ("acknowledged", "in Kafka", "stored", "found by the query API"):
        assert f"{hop} after " in found["probe"]["text"]


@pytest.mark.parametrize("command", [["audit", "--wait", "60"], ["migrate", "--plan"], ["usage"]], ids=" ".join)
def test_other_commands_find_the_stack_as_well(stack: NativeStack, command: list[str]) -> None:
    """Below the `.env`, without any export; they say whose settings they use, and not among their output."""
    environ = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "PYTHONPATH": str(REPOSITORY / "service")}
    line = [sys.executable, "-m", "logbrook", *command]
    below = stack.settings.state / "logs"
    done = subprocess.run(line, cwd=below, env=environ, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"local stack: {stack.settings.env_file}" in done.stderr
    assert str(stack.settings.env_file) not in done.stdout


def test_a_shell_with_the_variables_of_the_env_file(stack: NativeStack) -> None:
    """Exported as getting started says, they are the same stack: no check is left out."""
    exported = config.read_env_file(stack.settings.env_file)
    code, found = doctor(stack.settings.state, **exported)

    assert not [each for each in found.values() if each["state"] != "ok"]
    assert code == 0


def test_the_table(stack: NativeStack) -> None:
    """For people, the same: into a pipe without colors, and with a last line that sums it up."""
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY / "service")}
    command = [sys.executable, "-m", "logbrook", "doctor", "--quick"]
    done = subprocess.run(
        command, cwd=stack.settings.state, env=environ, capture_output=True, text=True, timeout=120, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Nothing is wrong" in done.stdout.splitlines()[-1]
    assert "\x1b" not in done.stdout


def test_quick_asks_only_whether_we_are_let_in(stack: NativeStack) -> None:
    """As a start-up step it sends nothing."""
    code, found = doctor(stack.settings.state, "--quick")

    assert code == 0
    assert "kafka login" in found
    assert "clickhouse login" in found
    assert not {"topic", "probe"} & found.keys()


def test_in_a_container(stack: NativeStack) -> None:
    """Kafka and ClickHouse by variables, no gateway: the probe goes through Kafka, and the HTTP side is not checked."""
    variables = {name: value for name, value in explicit(stack).items() if not name.endswith(("_URL", "_TOKEN"))}
    code, found = doctor(Path("/"), **variables)

    assert code == 0, found
    assert "stored after" in found["probe"]["text"]
    assert "LOGBROOK_GATEWAY_URL" in found["gateway address"]["text"]
    assert found["query"]["state"] == "not checked"


def test_a_gateway_alone(stack: NativeStack) -> None:
    """As from an operator's machine without the query API: what it can't see it does not claim."""
    variables = explicit(stack)
    names = ("LOGBROOK_GATEWAY_URL", "LOGBROOK_TOKEN")
    code, found = doctor(Path("/"), **{name: variables[name] for name in names})

    assert code == 0, found
    assert "nothing here can check whether it was stored" in found["probe"]["text"]


def test_a_wrong_token(stack: NativeStack) -> None:
    """The gateway looks at it before anything else; the token is not shown."""
    finding = diagnosed(here(stack, LOGBROOK_TOKEN="lb_wrong"), "gateway.token")

    assert "lb_wrong" not in finding.text


def test_no_token(stack: NativeStack) -> None:
    """To have none is no failure: the reason is said."""
    variables = explicit(stack)
    code, found = doctor(Path("/"), LOGBROOK_GATEWAY_URL=variables["LOGBROOK_GATEWAY_URL"])

    assert code == 0
    assert found["probe"]["text"] == probe.NO_TOKEN


def test_another_server_at_the_gateways_url(stack: NativeStack) -> None:
    """ClickHouse answers there, not Logbrook."""
    url = f"http://127.0.0.1:{stack.settings.ports.clickhouse}"
    finding = diagnosed(place.find({"LOGBROOK_GATEWAY_URL": url}, Path("/")), "http.unexpected")

    assert finding.check == "gateway"


def test_an_event_that_does_not_arrive_where_one_looks(stack: NativeStack) -> None:
    """The gateway's events go to another database than the one that is looked at."""
    variables = explicit(stack)
    with database(stack, "elsewhere") as elsewhere:
        seen = {name: variables[name] for name in ("LOGBROOK_GATEWAY_URL", "LOGBROOK_TOKEN")}
        finding = diagnosed(place.find({**seen, **elsewhere}, Path("/")), "probe.lost")

    assert "logbrook audit" in finding.remedy


def test_a_query_api_of_another_database(stack: NativeStack) -> None:
    """The event is stored, and the query API that is looked at does not find it."""
    reader = {"LOGBROOK_CLICKHOUSE_USERNAME": "reader", "LOGBROOK_CLICKHOUSE_PASSWORD": stack.settings.reader_password}
    with database(stack, "another") as another, query({**another, **reader}) as url:
        ours = here(stack)
        ours.query = url
        diagnosed(ours, "probe.unseen")


def test_a_gateway_that_can_not_send(stack: NativeStack) -> None:
    """Seen from where Kafka can't be: the gateway is there, and says why it can't work."""
    variables = explicit(stack)
    only = {name: variables[name] for name in ("LOGBROOK_GATEWAY_URL", "LOGBROOK_TOKEN")}
    with paused(stack, "kafka"):
        finding = diagnosed(place.find(only, Path("/")), "http.not_ready")

    assert "does not answer" in finding.text


def test_a_kafka_that_hangs(stack: NativeStack) -> None:
    """It has the port and does not answer: Kafka is blamed, not the gateway, the consumer or the probe."""
    with paused(stack, "kafka"):
        diagnosed(here(stack), "kafka.silent")


def test_a_clickhouse_that_was_killed(stack: NativeStack) -> None:
    """While it is down: killed, with what to change. Once it is up again: a warning that it was restarted."""
    state = stack.settings.state

    def killed_again() -> bool:
        known = processes(stack)["clickhouse"]
        if known.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(known.pid, signal.SIGKILL)
        # By now it waits for some seconds before the next start.
        return known.restarts >= 5 and known.state == "backing off"

    until(killed_again)
    finding = diagnosed(here(stack), "process.killed")
    assert "clickhouse" in finding.text
    assert "memory" in finding.remedy

    until(lambda: processes(stack)["clickhouse"].state == "ready")
    until(lambda: all(each.state != "failed" for each in examined(here(stack)).values()))
    warning = diagnosed(here(stack), "memory.restarted")
    assert "restarted" in warning.text
    assert (state / "run" / "status.json").exists()


def test_a_password_in_a_file_is_found(tmp_path: Path) -> None:
    """As on the data node, where the variable itself is empty."""
    (tmp_path / "password").write_text("of-the-file")
    variables = {"LOGBROOK_CLICKHOUSE_PASSWORD": "", "LOGBROOK_CLICKHOUSE_PASSWORD_FILE": str(tmp_path / "password")}
    found = place.find(variables, Path("/"))
    assert found.clickhouse.password == "of-the-file"
    assert not found.unknown


def test_settings_that_do_not_fit() -> None:
    """A value that is wrong is named, and nothing is tried with it."""
    found = place.find({"LOGBROOK_KAFKA_BOOTSTRAP_SERVERS": "x:1", "LOGBROOK_KAFKA_PARTITIONS": "many"}, Path("/"))

    assert "LOGBROOK_KAFKA_PARTITIONS" in diagnosed(found, "settings.invalid").text


def test_a_variable_that_is_misspelt(stack: NativeStack) -> None:
    """A warning, and everything else is looked at."""
    finding = diagnosed(place.find({**explicit(stack), "LOGBROOK_GATEWAY_TOKEN": "x"}, Path("/")), "settings.unknown")

    assert finding.text == "LOGBROOK_GATEWAY_TOKEN"


def test_nothing_to_look_at(tmp_path: Path) -> None:
    """No settings, no `.env`: that is not called healthy."""
    code, found = doctor(tmp_path)

    assert code == 1
    assert found["settings"]["code"] == "settings.nothing"


def hang(_place: place.Place) -> str:
    """A check that does not come back in time."""
    time.sleep(60)
    return ""


def test_a_check_that_hangs_and_one_that_breaks() -> None:
    """The first ends at its deadline, the second is shown; neither takes the others with it."""
    wanted = [
        checks.Check("hangs", hang, seconds=0.1),
        checks.Check("breaks", lambda _place: str(1 // 0)),
        checks.Check("works", lambda _place: "well"),
    ]
    found = checks.examine(place.Place(), wanted)

    assert [each.code for each in found] == ["check.late", "check.broken", ""]


def test_an_examination_that_breaks_does_not_wait_for_ever() -> None:
    """What can't even be begun is an error for whoever asked, also where another check would have come after it."""
    wanted = [checks.Check("first", hang), checks.Check("second", hang, after=("first",))]

    def begun(_name: str) -> None:
        raise RuntimeError("no terminal")

    with pytest.raises(RuntimeError, match="no terminal"):
        checks.examine(place.Place(), wanted, begun)


@pytest.mark.parametrize(("status", "code"), [(503, "http.not_ready"), (0, "check.late"), (500, "http.unexpected")])
def test_a_query_api_that_fails_while_the_probe_is_looked_for(
    status: int, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is ready, the event is sent, and then it is busy, silent or broken: said, and not taken for a broken check."""
    monkeypatch.setattr(probe, "_WAIT_SECONDS", 0.0)
    with holes.http({"GET /readyz": 200, "POST /ingest": 400, "POST /ingest {}": 200, "GET /v1/search": status}) as url:
        diagnosed(place.Place(gateway=url, query=url), code)


def processes(stack: NativeStack) -> Mapping[str, status.ProcessStatus]:
    """What the stack's supervisor knows."""
    found = status.read(stack.settings.state)
    assert found is not None
    return found.processes


@contextmanager
def paused(stack: NativeStack, name: str) -> Iterator[None]:
    """One of the stack's processes, stopped in its tracks for the time of a block."""
    process = psutil.Process(processes(stack)[name].pid)
    process.suspend()
    try:
        yield
    finally:
        process.resume()
    until(lambda: all(each.state != "failed" for each in examined(here(stack)).values()))


@contextmanager
def database(stack: NativeStack, name: str) -> Iterator[Mapping[str, str]]:
    """Another database with the tables, on the stack's ClickHouse, as the variables that lead to it."""
    variables = {each: value for each, value in explicit(stack).items() if "CLICKHOUSE" in each}
    settings = config.load(config.ClickHouse, {**variables, "LOGBROOK_CLICKHOUSE_DATABASE": name})
    migrate.apply(config.Schema(), settings)
    try:
        yield {**variables, "LOGBROOK_CLICKHOUSE_DATABASE": name}
    finally:
        client = clickhouse.connect(settings, database="default")
        client.command(f"DROP DATABASE {name} SYNC")
        client.close()


@contextmanager
def query(variables: Mapping[str, str]) -> Iterator[str]:
    """A query API that reads there; its URL."""
    [port] = ports.free(1)
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY / "service"), "LOGBROOK_QUERY_PORT": str(port)}
    command = [sys.executable, "-m", "logbrook", "query"]
    with subprocess.Popen(command, env={**environ, **variables}, stderr=subprocess.DEVNULL) as process:
        until(lambda: answers(port, "/readyz"))
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
