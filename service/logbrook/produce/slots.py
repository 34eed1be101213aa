"""Values for the slots of the catalog's lines, made ahead in bulk so that an event costs only lookups."""

import random
from collections.abc import Callable

from logbrook.produce.catalog import SERVICES

# A stretch of a pool is laid over the slots of a block: long enough that repeats are far apart.
POOL_SIZE = 8192
# Slots that hold one value for a whole trace; all others get a new one for every event.
TRACE_SLOTS = frozenset({"trace", "user", "session", "order", "cart", "ip", "agent"})
# Slots whose values are unique: random bytes in hex, by their number of characters.
HEX_SLOTS = {"trace": 32, "span": 16, "session": 20, "order": 12, "cart": 10}

_TERMS = "lamp, oak table, garden chair, wool blanket, tea pot, bicycle, desk, rain coat, kettle, head phones, mug, rug"
_CITIES = ["Berlin", "Lyon", "Porto", "Gdansk", "Turin", "Ghent"]
_AGENTS = ["firefox", "chrome", "safari", "edge", "curl", "okhttp", "googlebot"]


def pools(rng: random.Random) -> dict[str, list[bytes]]:
    """One pool of values per slot that is not unique."""
    users = _zipf(rng, 20_000)
    products = _zipf(rng, 3_000)
    kinds: dict[str, Callable[[], str]] = {
        "user": lambda: f"user-{users()}",
        "sku": lambda: f"SKU-{products():05d}",
        "ip": lambda: (
            f"{rng.choice((10, 81, 92, 178, 203))}.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}"
        ),
        "agent": lambda: rng.choice(_AGENTS),
        "ms": lambda: f"{rng.lognormvariate(2.2, 0.9):.1f}",
        "slow": lambda: f"{rng.lognormvariate(7.0, 0.6):.0f}",
        "small": lambda: str(rng.randint(1, 9)),
        "count": lambda: str(int(rng.paretovariate(0.9)) % 5_000),
        "bytes": lambda: str(int(rng.lognormvariate(8.5, 1.2))),
        "amount": lambda: f"{rng.lognormvariate(3.6, 0.8):.2f}",
        "pct": lambda: str(rng.randint(1, 99)),
        "term": lambda: rng.choice(_TERMS.split(", ")),
        "city": lambda: rng.choice(_CITIES),
        "upstream": lambda: rng.choice(SERVICES[1:]).name,
    }
    return {kind: [value().encode() for _ in range(POOL_SIZE)] for kind, value in kinds.items()}


def stretch(pool: list[bytes], start: int, size: int) -> list[bytes]:
    """`size` values of a pool from `start`, wrapping around as often as needed."""
    end = start + size
    if end <= len(pool):
        return pool[start:end]
    return (pool[start:] + pool * (size // len(pool) + 1))[:size]


def _zipf(rng: random.Random, size: int) -> Callable[[], int]:
    """Ranks 1 to `size`, each about as likely as 1 / rank."""
    return lambda: min(size, int(size ** rng.random()))
