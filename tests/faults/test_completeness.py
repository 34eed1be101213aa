"""Answers say until when they are complete: true whoever is killed, stopped, or takes over meanwhile."""

import random
import time

from tests.faults.campaign import Progress
from tests.faults.ledger import Ledger, Sender, check
from tests.faults.processes import until
from tests.faults.stack import Place
from tests.faults.witness import Witness


def test_answers_keep_their_word(place: Place, ledger: Ledger, sender: Sender, seed: int, progress: Progress) -> None:
    """Inserts that take long, consumers killed, stopped past their session, and replaced: what an answer is complete
    until never changes afterwards (I8, I9)."""
    rng = random.Random(seed)
    witness = Witness(place)
    consumers = [place.supervised(FAULT_SLOW_INSERT="0.7") for _ in range(2)]
    witness.start()
    with sender.sending():
        for turn in range(3):
            told = len(witness.told())
            until(lambda: len(witness.told()) > told + 5, 120, "answers are taken")  # noqa: B023 - used within the turn
            time.sleep(rng.random())
            consumers[turn % 2].kill()
            until(lambda: all(each.running for each in consumers), 60, "both run")
            consumers[1].pause()
            time.sleep(3)
            consumers[1].resume()
            progress(f"turn {turn}: {len(witness.told())} answers")

    check(ledger, place)
    witness.check(ledger)
