"""Views exchanged under load: `logbrook migrate` of two versions in turn, while consumers are killed."""

import random
from dataclasses import replace

import pytest

from logbrook import config, migrate, schema
from logbrook.schema import File
from tests.faults.ledger import Ledger, Sender, check
from tests.faults.parts import EVERYTHING
from tests.faults.stack import Place

SWAPS = 100 if EVERYTHING else 4


def other_version() -> list[File]:
    """The same views, of which one sends every event the long way: an insert that had both kinds would show it."""
    files = [
        replace(file, text=f"{file.text.rstrip().removesuffix(';')} -- another version\n;") for file in schema.views()
    ]
    [index] = [place for place, file in enumerate(files) if file.view == "route_view"]
    before = "key_count = 1 +"
    assert before in files[index].text
    files[index] = replace(files[index], text=files[index].text.replace(before, "key_count = -1 -"))
    return files


def test_views_are_exchanged_under_load(
    place: Place, ledger: Ledger, sender: Sender, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often the views change, and whoever is killed meanwhile: nothing lost, nothing twice (I1-I6)."""
    rng = random.Random(seed)
    versions = [schema.views(), other_version()]
    consumers = [place.supervised() for _ in range(2)]
    with sender.sending():
        for number in range(SWAPS):
            monkeypatch.setattr(schema, "views", lambda: versions[(number + 1) % 2])  # noqa: B023 - used within the turn
            done = migrate.apply(config.Schema(), place.database)
            assert done == [file.name for file in versions[0]]
            if number % 2 == 0:
                rng.choice(consumers).kill()
    check(ledger, place)
