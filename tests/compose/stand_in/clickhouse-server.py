#!/opt/venv/bin/python
"""Stand in for clickhouse-server: its configuration, read and refused as the server does; chdb's engine behind it.

First chdb, which is ClickHouse's own code, starts once on the very files: it merges them, opens the log files that they
name, reads users, profiles and grants, and ends where the server would end. Then the native stack's HTTP front serves,
on the addresses and ports that the files say, for the users and with the profiles that they have.

What is not the server's: it does not speak the native protocol (port 9000), knows no networks of users, and enforces of
a user's grants only what the front's guard knows: who is not limited there, and may write, may do all.
"""

import argparse
import hashlib
import hmac
import os
import shutil
import subprocess
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from xml.etree import ElementTree as ET

import clickhouse_config

from native.front import __main__ as front
from native.front import guard
from native.front.errors import EngineError

START = """
import sys
import chdb

chdb.connect(f"file:{sys.argv[1]}?config-file={sys.argv[2]}").close()
"""


class Users:
    """The users of the merged configuration, by the hashes of their passwords."""

    def __init__(self, root: ET.Element) -> None:
        self._users, self._profiles = root.find("users") or ET.Element("users"), root.find("profiles")

    def rights(self, user: str, password: str) -> str:
        """Whose rights the user has, "" for all. Raises EngineError unless the password is right."""
        expected = self._users.findtext(f"{user}/password_sha256_hex") or ""
        given = hashlib.sha256(password.encode()).hexdigest()
        if not hmac.compare_digest(expected.strip().lower(), given):
            raise EngineError(
                516, f"{user}: Authentication failed: password is incorrect, or there is no user with such name."
            )
        reads = self.profile(self._users.findtext(f"{user}/profile") or "default").get("readonly", "0") != "0"
        return user if user in guard.TABLES else "reader" if reads else ""

    def profile(self, name: str) -> dict[str, str]:
        """The settings of a profile."""
        found = self._profiles.find(name) if self._profiles is not None else None
        return {each.tag: (each.text or "").strip() for each in found or [] if not len(each)}


class Metrics(BaseHTTPRequestHandler):
    """The front has its metrics on the port of everything else; the server's configuration names one for them."""

    port = 8123

    def do_GET(self) -> None:
        """Hand on what the front says."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
            text = answer.read()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=UTF-8")
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Scrapes are not worth a line each."""


def start_as_the_server_would(config: Path, path: str) -> None:
    """Let ClickHouse's own code start on the files. Ends with what it says if it can't."""
    command = [sys.executable, "-c", START, path, str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if "> ConfigProcessor: " not in line]
        sys.exit("\n".join(line for line in lines if "<Debug>" not in line and "<Trace>" not in line))


def read_by_chdb(config: Path, root: ET.Element) -> Path:
    """The files as chdb takes them: it reads users without `access_control_improvements`, a server looks at that first.

    ClickHouse's src/Access/AccessControl.cpp, `setupFromMainConfig` (read 2026-11-28).
    """
    if root.findtext("access_control_improvements/settings_constraints_replace_previous") != "true":
        return config
    copied = Path(shutil.copytree(config.parent, "/tmp/clickhouse-server", dirs_exist_ok=True))
    for file in (copied / "users.d").iterdir():
        text = file.read_text().replace("<changeable_in_readonly/>", "")
        file.unlink()
        file.write_text(text)
    return copied / config.name


def engine_config(root: ET.Element) -> Path:
    """What of the configuration concerns the engine behind the front: its user is the front's own."""
    engine = ET.Element("clickhouse")
    front_has = {"logger", "path", "user_directories", "listen_host", "prometheus"}
    engine.extend(each for each in root if each.tag not in front_has and not each.tag.endswith(("_log", "_port")))
    file = Path("/tmp/engine.xml")
    ET.ElementTree(engine).write(file)
    return file


def main() -> None:
    """Start, or end as the server would."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config-file", type=Path, required=True)
    config = parser.parse_args().config_file
    try:
        root = clickhouse_config.load(config, os.environ)
        users_file = config.parent / (root.findtext("user_directories/users_xml/path") or "users.xml")
        users = Users(clickhouse_config.load(users_file, os.environ))
    except clickhouse_config.ConfigurationError as error:
        sys.exit(str(error))
    path = root.findtext("path") or "./"
    start_as_the_server_would(read_by_chdb(config, root), path)
    if root.findtext("logger/console") in ("1", "true"):
        print("Logging to the console", flush=True)

    everywhere = {"::", "0.0.0.0"} & {each.text for each in root.findall("listen_host")}
    host, port = "0.0.0.0" if everywhere else "127.0.0.1", int(root.findtext("http_port") or 0)
    guard.SETTINGS = {name: value for name, value in users.profile("reader").items() if name != "readonly"}
    front.Users = lambda *_: users  # type: ignore[assignment, attr-defined, unused-ignore]
    # The front refuses all addresses but loopback, and wants the password in clear; here users have hashes.
    front._loopback = str  # type: ignore[assignment]
    front._passwords = lambda: {"CLICKHOUSE_PASSWORD": "unused"}
    if metrics_port := root.findtext("prometheus/port"):
        Metrics.port = port
        server = ThreadingHTTPServer((host, int(metrics_port)), Metrics)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.argv[1:] = ["--data", f"{path}chdb", "--host", host, "--port", str(port)]
    sys.argv += ["--config-file", str(engine_config(root))]
    front.main()


if __name__ == "__main__":
    main()
