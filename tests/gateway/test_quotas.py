"""How much a source may send."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbrook import metrics
from logbrook.config import Gateway
from logbrook.errors import BusyError
from logbrook.gateway.quotas import Quotas
from logbrook.tokens import Grant, issue
from tests.gateway.door import Door

MIDNIGHT = 20_000 * 86_400.0
EVENT = b'{"message": "' + b"x" * 900 + b'"}'


@dataclass
class Clock:
    """Seconds since 1970 that pass when the test says so."""

    now: float = MIDNIGHT

    def __call__(self) -> float:
        """The time."""
        return self.now


def wait_seconds(quotas: Quotas, grant: Grant) -> int:
    """How long the source is told to wait; 0 if it is let in."""
    try:
        quotas.check(grant)
    except BusyError as refused:
        return refused.retry_after_seconds
    return 0


def test_a_burst_is_let_in_and_then_the_rate_holds() -> None:
    """Ten seconds' worth at once; after that the wait is as long as it takes to pay the rest off."""
    clock = Clock()
    quotas, shop = Quotas(Gateway(), clock), Grant("shop", bytes_per_second=100)

    assert wait_seconds(quotas, shop) == 0
    quotas.spend("shop", 1_250)
    assert wait_seconds(quotas, shop) == 3
    clock.now += 3
    assert wait_seconds(quotas, shop) == 0


def test_a_day_ends_at_midnight() -> None:
    """Once a day's bytes are sent, the source waits until 00:00 UTC; another source does not."""
    clock = Clock(MIDNIGHT + 86_000)
    quotas, shop = Quotas(Gateway(), clock), Grant("shop", bytes_per_day=1_000)
    wait_seconds(quotas, shop)
    quotas.spend("shop", 1_000)

    assert wait_seconds(quotas, shop) == 401
    assert wait_seconds(quotas, Grant("cart", bytes_per_day=1_000)) == 0
    clock.now = MIDNIGHT + 86_400
    assert wait_seconds(quotas, shop) == 0


def test_a_source_without_a_quota_of_its_own_has_the_settings() -> None:
    """And what its token says comes first."""
    quotas = Quotas(Gateway(source_bytes_per_day=100), Clock())
    for each in (plain := Grant("plain"), large := Grant("large", bytes_per_day=1_000)):
        wait_seconds(quotas, each)
        quotas.spend(each.source, 500)

    assert wait_seconds(quotas, plain) > 0
    assert wait_seconds(quotas, large) == 0


def test_each_of_several_gateways_lets_in_its_share() -> None:
    """Together they let in the quota."""
    quotas, shop = Quotas(Gateway(instances=4), Clock()), Grant("shop", bytes_per_day=1_000)
    wait_seconds(quotas, shop)
    quotas.spend("shop", 249)
    assert wait_seconds(quotas, shop) == 0
    quotas.spend("shop", 1)
    assert wait_seconds(quotas, shop) > 0


@given(
    st.lists(st.tuples(st.integers(1, 5_000), st.floats(0, 100)), max_size=60),
    st.integers(1, 500),
    st.sampled_from([-90.0, 0.0, 3_600.0]),
)
def test_who_obeys_never_exceeds_the_rate(sent: list[tuple[int, float]], rate: int, jump: float) -> None:
    """Whatever is sent when, over any time it is at most the rate, a burst, and the request that crossed the line.

    A clock that is set back, or ahead by an hour, lets in at most what that hour would have.
    """
    clock = Clock()
    quotas, shop = Quotas(Gateway(), clock), Grant("shop", bytes_per_second=rate)
    total = largest = 0
    for number, (size, pause) in enumerate(sent):
        clock.now += pause + (jump if number == 30 else 0)
        if wait_seconds(quotas, shop) == 0:
            quotas.spend("shop", size)
            total, largest = total + size, max(largest, size)
    passed = sum(pause for _, pause in sent) + max(0.0, jump)
    assert total <= rate * (passed + 10) + largest + 1


def test_over_its_quota_a_source_is_told_when_to_come_back() -> None:
    """429 with Retry-After before a byte of the body is read, counted by source; others are let in."""
    shop, cart = issue("shop-quota", ";bytes_per_day=1000"), issue("cart")
    door = Door.open(Gateway(tokens=f"{shop.entry},{cart.entry}"))
    sent = [door.ingest(EVENT, authorization=f"Bearer {shop.token}") for _ in range(3)]

    assert [each.status_code for each in sent] == [200, 200, 429]
    assert sent[2].json()["error"]["code"] == "over_quota"
    assert 0 < int(sent[2].headers["retry-after"]) <= 86_400
    assert door.ingest(EVENT, authorization=f"Bearer {cart.token}").status_code == 200
    assert len(door.messages) == 3
    assert metrics.gateway_over_quota_total.labels("shop-quota")._value.get() == 1


def test_what_could_not_be_stored_does_not_count() -> None:
    """A sender that tries again after Kafka's outage has not used up its day."""
    shop = issue("shop", ";bytes_per_day=1000")
    door = Door.open(Gateway(tokens=shop.entry))
    door.topic.failure = "Kafka does not answer"
    for _ in range(5):
        assert door.ingest(EVENT, authorization=f"Bearer {shop.token}").status_code == 503
    door.topic.failure = None

    assert door.ingest(EVENT, authorization=f"Bearer {shop.token}").status_code == 200


@pytest.mark.parametrize(
    ("path", "status"), [("/v1/logs", 403), ("/loki/api/v1/push", 403), ("/ingest", 200), ("/_bulk", 403)]
)
def test_a_token_for_some_paths_is_refused_at_the_others(path: str, status: int) -> None:
    """403 in that format's own words; nothing is stored."""
    shop = issue("shop", ";paths=/ingest")
    door = Door.open(Gateway(tokens=shop.entry))
    headers = {"authorization": f"Bearer {shop.token}", "content_type": "application/json"}

    assert door.request("POST", path, EVENT, **headers).status_code == status
    assert len(door.messages) == (status == 200)


@pytest.mark.parametrize(("limit", "code"), [("expires=2020-01-31", 1), ("paths=/ingest", 4)])
def test_splunks_senders_are_told_in_its_codes(limit: str, code: int) -> None:
    """1 is a disabled token, 4 an invalid one (Splunk's "HTTP Event Collector error codes"): neither is retried."""
    shop = issue("shop", f";{limit}")
    door = Door.open(Gateway(tokens=shop.entry))

    refused = door.request("POST", "/services/collector", b'{"event": "x"}', authorization=f"Splunk {shop.token}")

    assert (refused.status_code, refused.json()["code"]) == (403, code)
