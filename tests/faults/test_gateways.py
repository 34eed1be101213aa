"""The gateway killed, stopped and cut off from Kafka, with clients that send again until they are told 200."""

import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.faults.ledger import Ledger, check, post
from tests.faults.parts import in_full
from tests.faults.processes import until
from tests.faults.stack import Place


def clients(
    place: Place, ledger: Ledger, url: str, seed: int, number: int = 4
) -> tuple[threading.Event, ThreadPoolExecutor]:
    """Clients that send keyed requests until the event is set."""
    stop, pool = threading.Event(), ThreadPoolExecutor(number)

    def send(client: int) -> None:
        rng, count = random.Random(f"{seed} {client}"), 0
        while not stop.is_set():
            count += 1
            post(ledger, url, rng, events=rng.randrange(1, 30), key=f"client {client} request {count}")

    for client in range(number):
        pool.submit(send, client)
    return stop, pool


def test_killed_after_produce(place: Place, ledger: Ledger, seed: int) -> None:
    """A gateway killed with -9, and the same requests sent again with their keys: each event once (I1-I4).

    Every other time Kafka does not answer: what the gateway then holds is acknowledged to nobody.
    """
    place.consumer().spawn()
    gateway = place.gateway()
    gateway.process.start()
    stop, pool = clients(place, ledger, gateway.url, seed)
    rng = random.Random(seed)
    for turn in range(4):
        time.sleep(0.3 + rng.random())
        if turn % 2:
            place.stack.kafka.pause()
            time.sleep(0.5)
        gateway.process.kill()
        place.stack.kafka.resume()
        gateway.process.start()
    stop.set()
    pool.shutdown()
    check(ledger, place)


@in_full
def test_told_to_stop_while_kafka_is_stopped(place: Place, ledger: Ledger, seed: int) -> None:
    """SIGTERM with requests that Kafka does not answer: gone within 10 s, nothing acknowledged that is not stored."""
    place.consumer().spawn()
    gateway = place.gateway()
    gateway.process.start()
    stop, pool = clients(place, ledger, gateway.url, seed)
    until(lambda: ledger.acknowledged, 30, "the first request is taken")
    place.stack.kafka.pause()
    try:
        time.sleep(0.5)
        assert gateway.process.child is not None
        gateway.process.signal(signal.SIGTERM)
        gateway.process.child.wait(10)
    finally:
        place.stack.kafka.resume()
    gateway.process.start()
    until(lambda: httpx.get(f"{gateway.url}/readyz").status_code == 200, 30, "the gateway is ready again")
    stop.set()
    pool.shutdown()
    check(ledger, place)


@in_full
def test_broker_killed_under_the_gateway(place: Place, ledger: Ledger, seed: int) -> None:
    """Kafka killed with -9 while requests are open: what was answered 200 is stored, once (I1-I4)."""
    place.supervised()
    gateway = place.gateway(LOGBROOK_GATEWAY_DELIVERY_TIMEOUT_SECONDS="3")
    gateway.process.start()
    stop, pool = clients(place, ledger, gateway.url, seed)
    until(lambda: ledger.acknowledged, 30, "the first request is taken")
    place.stack.kafka.restart()
    before = len(ledger.acknowledged)
    until(lambda: len(ledger.acknowledged) > before, 60, "requests are taken again")
    stop.set()
    pool.shutdown()
    check(ledger, place)


def test_one_key_for_different_requests(place: Place, ledger: Ledger, seed: int) -> None:
    """A client that uses its key again for other events, by mistake or cut elsewhere, loses none of them (I1, I2)."""
    place.consumer().spawn()
    gateway = place.gateway()
    gateway.process.start()
    for events in (3, 5, 5):
        post(ledger, gateway.url, random.Random(seed), events=events, key="always the same")
    check(ledger, place)
