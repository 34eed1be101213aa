"""`python -m native.front`: serve one data directory until SIGTERM."""

import argparse
import asyncio
import ipaddress
import json
import logging
import os
import signal
import sys
from pathlib import Path

import uvicorn

from logbrook.connection import Connection
from native.front import body
from native.front.app import BrokenResultError, Front
from native.front.disk import Disk
from native.front.engine import Engine
from native.front.errors import EngineError
from native.front.request import Users

_LOG = logging.getLogger("native.front")
_PIPE = "LOGBROOK_FRONT_PASSWORDS_PIPE"
_LIMITED = {"reader": "CLICKHOUSE_READONLY_PASSWORD", "views": "CLICKHOUSE_VIEWS_PASSWORD"}
_CONFIG_FILE = Path(__file__).parent / "engine.xml"


def _loopback(text: str) -> str:
    if text != "localhost" and not ipaddress.ip_address(text).is_loopback:
        raise argparse.ArgumentTypeError(f"{text} is not a loopback address, and this front listens on no other")
    return text


def _passwords() -> dict[str, str]:
    """The passwords, which come from the environment and must not stay there.

    A statement that got past every check could read them from /proc/self/environ, where a variable stays even after it
    is deleted. So the process becomes a new one without them, and gets them through a pipe.
    """
    names = ("CLICKHOUSE_PASSWORD", *_LIMITED.values())
    if pipe := os.environ.pop(_PIPE, None):
        with os.fdopen(int(pipe)) as file:
            return dict(json.load(file))
    found = {name: os.environ.pop(name) for name in names if name in os.environ}
    if found:
        reading, writing = os.pipe()
        os.set_inheritable(reading, True)
        os.write(writing, json.dumps(found).encode())
        os.close(writing)
        os.execve(sys.executable, sys.orig_argv, {**os.environ, _PIPE: str(reading)})  # noqa: S606 - no shell is meant
    return found


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m native.front", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="directory of the tables, created if need be")
    parser.add_argument("--host", type=_loopback, default="127.0.0.1", help="loopback address to listen on")
    parser.add_argument("--port", type=int, default=8123, help="port to listen on")
    parser.add_argument("--config-file", type=Path, default=_CONFIG_FILE, help="ClickHouse configuration, XML")
    arguments = parser.parse_args()
    passwords = _passwords()
    password = passwords.get("CLICKHOUSE_PASSWORD", "")
    if not password:
        parser.error("CLICKHOUSE_PASSWORD is not set: the password of the user `default`; there is no default")
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s (%(name)s)", level=logging.INFO)
    logging.getLogger("uvicorn.error").addFilter(_WithoutBrokenResults())
    users = Users(password, {user: passwords.get(name, "") for user, name in _LIMITED.items()})
    arguments.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    backups = arguments.data.resolve() / "backups"
    backups.mkdir(exist_ok=True)
    os.environ["CLICKHOUSE_BACKUPS"] = str(backups)
    try:
        engine = Engine(arguments.data, arguments.config_file)
    except EngineError as error:
        sys.exit(f"{error}")
    spool = arguments.data / "spool"
    spool.mkdir(exist_ok=True)
    body.sweep(spool)
    disk = Disk(engine, arguments.data)
    front = Front(engine, users, spool, disk)
    # uvicorn stops on these and then raises them again, but there is still something to close.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    try:
        asyncio.run(_serve(front, disk, arguments.host, arguments.port))
    finally:
        front.close()
        engine.close()


class _Connection(Connection):
    """A client's connection. A statement may be in the URL."""

    # As a server: http_max_uri_size.
    max_head_bytes = 2**20


class _WithoutBrokenResults(logging.Filter):
    """A broken result has already been reported and logged: it needs no traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], BrokenResultError))


async def _serve(front: Front, disk: Disk, host: str, port: int) -> None:
    settings = uvicorn.Config(
        front, host=host, port=port, http=_Connection, ws="none", lifespan="off", log_config=None,
        access_log=False, server_header=False,
        timeout_graceful_shutdown=5, timeout_keep_alive=30, date_header=False,
    )  # fmt: skip
    server = uvicorn.Server(settings)

    def stop(watching: "asyncio.Task[None]") -> None:
        # The supervisor starts this process again, and the engine then loads what is intact.
        if not watching.cancelled() and (error := watching.exception()):
            _LOG.error("stopping: %s", error)
            server.should_exit = True

    tasks = [asyncio.create_task(front.expire_sessions()), asyncio.create_task(disk.watch())]
    for task in tasks:
        task.add_done_callback(stop)
    await server.serve()
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    main()
