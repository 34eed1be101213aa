#!/usr/bin/python3
"""Stand in for Grafana: check at the start what it checks of its folders and provisioning, then answer for health.

After packaging/docker/run.sh and pkg/services/provisioning of grafana/grafana: compose/images.yaml names the commits.
It draws nothing and asks no data source.
"""

import json
import os
import sqlite3
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

DATA, PLUGINS, PROVISIONING = (Path(os.environ[f"GF_PATHS_{name}"]) for name in ("DATA", "PLUGINS", "PROVISIONING"))


def folders() -> None:
    """The database and the plugins' folder must be writable; so must the logs' unless the log goes to the console."""
    try:
        PLUGINS.mkdir(exist_ok=True)
        sqlite3.connect(DATA / "grafana.db").execute("CREATE TABLE IF NOT EXISTS stand_in (name TEXT)")
    except (OSError, sqlite3.Error) as error:
        sys.exit(f"GF_PATHS_DATA='{DATA}' is not writable: {error}")
    if "file" in os.environ.get("GF_LOG_MODE", "console") and not os.access(os.environ["GF_PATHS_LOGS"], os.W_OK):
        sys.exit(f"{os.environ['GF_PATHS_LOGS']} is not writable")


def provisioned(kind: str) -> list[dict[str, Any]]:
    """What the files of a kind declare, with variables filled in."""
    try:
        files = sorted((PROVISIONING / kind).glob("*.y*ml"))
        documents = [yaml.safe_load(os.path.expandvars(file.read_text())) for file in files]
    except (OSError, yaml.YAMLError) as error:
        sys.exit(f"provisioning/{kind}: {error}")
    key = "datasources" if kind == "datasources" else "providers"
    found: list[dict[str, Any]] = [each for document in documents for each in document[key]]
    if not found:
        sys.exit(f"{PROVISIONING / kind}: nothing is provisioned")
    return found


def dashboards() -> list[dict[str, Any]]:
    """The dashboards of the provided folders, and the home dashboard, must be there and be JSON with a title."""
    files = [
        file for each in provisioned("dashboards") for file in sorted(Path(each["options"]["path"]).glob("*.json"))
    ]
    home = os.environ.get("GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH")
    try:
        if home:
            json.loads(Path(home).read_text())
        return [{key: json.loads(file.read_text())[key] for key in ("uid", "title")} for file in files]
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"dashboards: {error!r}")


def datasources() -> list[dict[str, Any]]:
    """What is provisioned. Grafana starts without a data source's plugin, too: test_images.py looks for it."""
    found = provisioned("datasources")
    return [{key: each.get(key) for key in ("uid", "name", "type", "url")} for each in found]


folders()
ANSWERS: dict[str, Any] = {
    "/api/health": {"database": "ok", "version": "stand-in"},
    "/api/search": dashboards(),
    "/api/datasources": datasources(),
}


class Handler(BaseHTTPRequestHandler):
    """Three questions of Grafana's API."""

    def do_GET(self) -> None:
        """Answer what is known."""
        answer = ANSWERS.get(self.path.partition("?")[0])
        body = json.dumps(answer).encode()
        self.send_response(200 if answer is not None else 404)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Health checks are not worth a line each."""


print("HTTP Server Listen", flush=True)
ThreadingHTTPServer(("", 3000), Handler).serve_forever()
