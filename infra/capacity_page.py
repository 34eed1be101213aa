"""The tables of docs/capacity.md: `python -m infra.capacity_page` makes them again."""

from collections.abc import Iterator
from itertools import product, starmap
from pathlib import Path

from infra.capacity import Volume, figures, plan

PAGE = Path(__file__).parent.parent / "docs/capacity.md"
_NOTE = "<!-- From here on made by `make docs` from infra/capacity.py and infra/*.yaml: edit those. -->"
_EVENTS = (1_000_000, 20_000_000, 200_000_000, 2_000_000_000)
_SIZES = tuple(product((300, 1000), (7, 30, 90)))


def lines() -> Iterator[str]:
    """What fits, where one VM ends, and the figures behind both."""
    yield from ["## What fits", "", "Disks in GiB.", ""]
    head = ["Events a day", "Bytes", "Days", "Machine", "ClickHouse", "Kafka", "Partitions", "Gateways", "Consumers"]
    yield from [f"| {' | '.join([*head, '$ a month'])} |", "|---:|---:|---:|---|---:|---:|---:|---:|---:|---:|"]
    for volume in starmap(Volume, ((events, *size) for events, size in product(_EVENTS, _SIZES))):
        yield _row(volume)
    yield from [
        "",
        "## Where one VM ends",
        "",
        "| Bytes | Days | Most events a day | With a tenth more |",
        "|---:|---:|---:|---|",
    ]
    for size in _SIZES:
        most = most_events_per_day(*size)
        yield f"| {size[0]:,} | {size[1]} | {most:,} | {plan(Volume(most + most // 10, *size)).why[0]} |"
    yield from ["", "## What it counts with", "", "| Measured | Value | Where |", "|---|---:|---|"]
    for each in figures()["measured"].values():
        where = f"[`{each['command']}`](measurements/{each['section']}), {each['date']}, {each['machine']}"
        yield f"| {each['meaning']} | {each['value']:,} | {where} |"
    yield from ["", "| Not measured: assumed | Value | Why |", "|---|---:|---|"]
    for each in figures()["assumed"].values():
        yield f"| {each['meaning']} | {each['value']:,} | {each['reason']} |"


def _row(volume: Volume) -> str:
    found = plan(volume)
    one, dollars = found.settings, f"{sum(found.dollars.values()):,.0f}"
    cells = [f"{volume.events_per_day:,}", f"{volume.event_bytes:,}", str(volume.days)]
    if one.on_vm:
        cells += [f"`{one.machine_type}`", f"{one.clickhouse_disk_gib:,}", f"{one.kafka_disk_gib:,}"]
    else:
        cells += ["managed", f"{volume.stored_gib:,.0f} used", f"{one.managed_kafka_cpus} CPUs"]
        dollars += " and ClickHouse"
    pairs = [f"{one.gateway_min} to {one.gateway_max}", f"{one.consumer_min} to {one.consumer_max}"]
    return f"| {' | '.join([*cells, str(one.kafka_partitions), *pairs, dollars])} |"


def most_events_per_day(event_bytes: int, days: int) -> int:
    """The most that one VM takes, to two digits."""
    least, most = 1, 10**10
    while most - least > least // 1000:
        middle = (least + most) // 2
        least, most = (least, middle) if plan(Volume(middle, event_bytes, days)).why else (middle, most)
    unit = 10 ** (len(str(least)) - 2)
    return int(least // unit * unit)


def completed(page: str) -> str:
    """The page, with its end made again."""
    return page.partition(_NOTE)[0] + "\n".join([_NOTE, "", *lines()]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(completed(PAGE.read_text()))
