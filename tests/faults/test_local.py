"""The whole local stack taken down and up again, as people do it, while others send."""

import json
import random
import threading
from pathlib import Path

import pytest

from logbrook import clickhouse
from tests.components import native_stack
from tests.faults.campaign import Progress
from tests.faults.ledger import Ledger, post
from tests.faults.parts import in_full
from tests.faults.processes import until

_TIMES = 3


@in_full
@pytest.mark.timeout(1800)
def test_down_and_up_under_load(tmp_path: Path, ledger: Ledger, seed: int, progress: Progress) -> None:
    """`local-down` and `local-up` under load: each acknowledged event is stored once, and the audit finds it well."""
    with native_stack(tmp_path / "state", {"LOGBROOK_GATEWAY_ALLOW_ANONYMOUS": "true"}) as stack:
        ending = threading.Event()
        url = f"http://127.0.0.1:{stack.settings.ports.gateway}"

        def client(number: int) -> None:
            rng, sent = random.Random(f"{seed}-{number}"), 0
            while not ending.is_set():
                sent += 1
                post(ledger, url, rng, events=rng.randrange(1, 50), key=f"{number}-{sent}", tries=4000)

        clients = [threading.Thread(target=client, args=(number,)) for number in range(3)]
        for each in clients:
            each.start()
        try:
            for turn in range(_TIMES):
                before = len(ledger.acknowledged)
                until(lambda: len(ledger.acknowledged) > before + 500, 240, "more is acknowledged")  # noqa: B023
                stack.run("down")
                stack.run("up")
                progress(f"down and up {turn + 1}: {len(ledger.acknowledged)} acknowledged")
        finally:
            ending.set()
            for each in clients:
                each.join()

        database = clickhouse.connect(stack.settings.clickhouse)

        def stored() -> tuple[int, int]:
            ids = "SELECT LogAttributes['id'] AS id FROM otel_logs WHERE id LIKE 'e%'"
            sql = f"SELECT count(), uniqExact(id) FROM ({ids})"
            [[rows, names]] = database.query(sql).result_rows
            return rows, names

        until(lambda: stored()[1] >= len(ledger.acknowledged), 240, "all is stored", poll_seconds=2)
        assert stored() == (len(ledger.acknowledged),) * 2, "rows, and distinct ids"
        lines = stack.run("run", "audit", "--json").splitlines()
        found = json.loads(next(line for line in lines if line.startswith('{"missing"')))
    assert (found["missing"], found["double"], found["stalled"]) == (0, 0, 0)
