"""Sample events as bytes: seeded, fast, with OpenTelemetry's names.

Events come in blocks of 500. A block's layout (which service writes which line, in which trace) is one of a few
dozen that are drawn once; for every block its slots get new values. Rendering an event is then a handful of list
lookups and its share of one `b"".join`: no dict, no JSON encoder. Event `i` depends on the seed and `i` alone, so
that any way of cutting the stream into messages gives the same events.
"""

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

from logbrook.produce.catalog import FLOWS, SERVICES, SEVERITY_NUMBERS, Line, Service
from logbrook.produce.slots import HEX_SLOTS, POOL_SIZE, TRACE_SLOTS, pools, stretch

BLOCK_EVENTS = 500
_LAYOUTS = 48
# Once in this many blocks, one service is in trouble for a few blocks in a row.
_INCIDENT_EVERY_BLOCKS = 40
_SLOT = re.compile(r"<([a-z]+)>")


class Events:
    """The endless stream of events of a seed."""

    def __init__(self, seed: int, *, event_ids: bool = False) -> None:
        """With `event_ids`, every event has a field `event_id`: the seed, a dash and the event's number."""
        rng = random.Random(f"{seed}:layouts")  # noqa: S311 - sample logs, not a secret
        lines = _Lines(rng, event_ids=event_ids)
        self._seed = seed
        self._event_ids = event_ids
        self._pools = pools(rng)
        self._calm = [_Layout(rng, lines, None) for _ in range(_LAYOUTS)]
        self._bad = {service.name: _Layout(rng, lines, service) for service in SERVICES if service.failures}
        self._block = -1
        self._layout = self._calm[0]
        self._values: list[bytes] = []
        self.position = 0

    def take(self, size: int, start_ns: int, step_ns: int) -> bytes:
        """The next `size` events, newline-separated; the first is of `start_ns`, each next one `step_ns` later."""
        parts = []
        while size:
            block, first = divmod(self.position, BLOCK_EVENTS)
            if block != self._block:
                self._begin(block)
            last = min(BLOCK_EVENTS, first + size)
            parts.append(self._render(first, last, start_ns, step_ns))
            start_ns += (last - first) * step_ns
            self.position += last - first
            size -= last - first
        return b"\n".join(parts)

    def _render(self, first: int, last: int, start_ns: int, step_ns: int) -> bytes:
        layout, values = self._layout, self._values
        stamps = (
            range(start_ns, start_ns + (last - first) * step_ns, step_ns) if step_ns else [start_ns] * (last - first)
        )
        values[first:last] = [b"%d" % stamp for stamp in stamps]
        order = layout.order
        if last - first < BLOCK_EVENTS:
            order = order[layout.starts[first] : layout.starts[last]]
        # Each line ends with its newline; the last one is cut off.
        return b"".join(map(values.__getitem__, order))[:-1]

    def _begin(self, block: int) -> None:
        """Choose the block's layout and draw the values of its slots."""
        rng = random.Random(f"{self._seed}:{block}")  # noqa: S311
        service = self._incident(block)
        layout = rng.choice(self._calm) if service is None else self._bad[service]
        values = [b""] * BLOCK_EVENTS
        if self._event_ids:
            first = block * BLOCK_EVENTS
            values += [b"%d-%d" % (self._seed, number) for number in range(first, first + BLOCK_EVENTS)]
        for kind, size in layout.sizes.items():
            width = HEX_SLOTS.get(kind)
            if width is None:
                values += stretch(self._pools[kind], rng.randrange(POOL_SIZE), size)
            else:
                digits = rng.randbytes(width * size // 2).hex().encode()
                values += [digits[at : at + width] for at in range(0, width * size, width)]
        self._block, self._layout, self._values = block, layout, values + layout.fragments

    def _incident(self, block: int) -> str | None:
        """The service that is in trouble in this block, if any."""
        window, at = divmod(block, _INCIDENT_EVERY_BLOCKS)
        rng = random.Random(f"{self._seed}:incident:{window}")  # noqa: S311
        start, length = rng.randrange(4, _INCIDENT_EVERY_BLOCKS - 6), rng.randint(1, 4)
        service = rng.choice(sorted(self._bad))
        return service if start <= at < start + length else None


@dataclass(frozen=True)
class _Template:
    """A line of one pod as alternating fragments and slot names: fragment, slot, fragment, ..., fragment."""

    service: str
    pieces: tuple[bytes | str, ...]


class _Lines:
    """The templates of every service, by occasion, one for each of its pods."""

    def __init__(self, rng: random.Random, *, event_ids: bool) -> None:
        self._templates: dict[tuple[str, str], list[list[_Template]]] = {}
        for service in SERVICES:
            pods = [_resource(rng, service) for _ in range(service.pods)]
            for occasion in ("requests", "background", "failures"):
                self._templates[service.name, occasion] = [
                    [_template(service, line, pod, traced=occasion != "background", event_id=event_ids) for pod in pods]
                    for line in getattr(service, occasion)
                ]

    def draw(self, rng: random.Random, service: str, occasion: str, pod: float) -> _Template:
        """A template of a service for an occasion; earlier ones in the catalog are likelier. `pod` is 0 to 1."""
        lines = self._templates[service, occasion]
        pods = lines[_rank(rng, len(lines))]
        return pods[int(pod * len(pods))]


class _Layout:
    """The order of lines in a block, resolved to positions in the list of its values."""

    def __init__(self, rng: random.Random, lines: _Lines, trouble: Service | None) -> None:
        """`trouble` is the service most of whose requests fail, if any."""
        events = _schedule(rng, lines, trouble.name if trouble else None)
        slots: dict[str, dict[tuple[object, ...], int]] = {}
        fragments: dict[bytes, int] = {}
        drafts: list[tuple[str, int]] = []
        ends = []
        for number, (template, trace) in enumerate(events):
            for piece in template.pieces:
                if isinstance(piece, bytes):
                    drafts.append(("", fragments.setdefault(piece, len(fragments))))
                elif piece in ("ts", "eid"):
                    drafts.append((piece, number))
                else:
                    mine = slots.setdefault(piece, {})
                    drafts.append((piece, mine.setdefault(_owner(piece, template, trace, number), len(mine))))
            ends.append(len(drafts))
        self.sizes = {kind: len(owners) for kind, owners in slots.items()}
        self.fragments = list(fragments)
        self.starts = [0, *ends]
        at = BLOCK_EVENTS
        bases = {"ts": 0, "eid": BLOCK_EVENTS}
        if any(kind == "eid" for kind, _ in drafts):
            at += BLOCK_EVENTS
        for kind, size in self.sizes.items():
            bases[kind] = at
            at += size
        bases[""] = at
        self.order = [bases[kind] + index for kind, index in drafts]


def _owner(slot: str, template: _Template, trace: int | None, number: int) -> tuple[object, ...]:
    """What shares a slot's value: all events of a trace, one service's events within it, or this event alone."""
    if trace is None:
        return ("event", number)
    if slot == "span":
        return (trace, template.service)
    return (trace,) if slot in TRACE_SLOTS else ("event", number)


def _schedule(rng: random.Random, lines: _Lines, trouble: str | None) -> list[tuple[_Template, int | None]]:
    """The events of a block in order of time: traces that overlap, and lines that belong to none."""
    timed: list[tuple[float, _Template, int | None]] = []
    trace = 0
    while True:
        events = list(_trace(rng, lines, trouble))
        if len(timed) + len(events) > BLOCK_EVENTS * 0.85:
            break
        at = rng.random() * 0.95
        for template in events:
            timed.append((at, template, trace))
            at += rng.random() * 0.005
        trace += 1
    while len(timed) < BLOCK_EVENTS:
        service = SERVICES[_rank(rng, len(SERVICES))].name
        timed.append((rng.random(), lines.draw(rng, service, "background", rng.random()), None))
    return [(template, trace_) for _, template, trace_ in sorted(timed, key=lambda event: event[0])]


def _trace(rng: random.Random, lines: _Lines, trouble: str | None) -> Iterator[_Template]:
    """The lines of one request, in order. A failure ends it, and the edge says so."""
    edge = rng.random()
    for service in FLOWS[_rank(rng, len(FLOWS))]:
        pod = edge if service == "edge" else rng.random()
        if rng.random() < (0.7 if service == trouble else 0.008):
            yield lines.draw(rng, service, "failures", pod)
            if service != "edge":
                yield lines.draw(rng, "edge", "failures", edge)
            return
        for _ in range(1 + (rng.random() < 0.4)):
            yield lines.draw(rng, service, "requests", pod)


def _rank(rng: random.Random, size: int) -> int:
    """0 to size - 1, each about as likely as 1 / (rank + 1)."""
    return min(size - 1, int((size + 1) ** rng.random()) - 1)


def _resource(rng: random.Random, service: Service) -> dict[str, str]:
    node = f"node-{rng.randint(1, 5)}"
    pod = f"{service.name}-{rng.getrandbits(36):09x}-{rng.getrandbits(20):05x}"
    return {
        "service.name": service.name,
        "service.version": service.version,
        "deployment.environment.name": "production",
        "host.name": node,
        "k8s.namespace.name": "shop",
        "k8s.pod.name": pod,
    }


def _template(service: Service, line: Line, resource: dict[str, str], *, traced: bool, event_id: bool) -> _Template:
    """A line as JSON text, cut at its slots."""
    trace = '"trace_id":"<trace>","span_id":"<span>","trace_flags":1,' if traced else ""
    number = ',"event_id":"<eid>"' if event_id else ""
    text = (
        f'{{"timestamp":<ts>,"severity_text":"{line.severity}","severity_number":{SEVERITY_NUMBERS[line.severity]},'
        f'"body":{_json(line.body)},{trace}"resource":{_json(resource)},"scope":{{"name":{_json(service.scope)}}},'
        f'"attributes":{_attributes(line)}{number}}}\n'
    )
    pieces = tuple(piece if at % 2 else piece.encode() for at, piece in enumerate(_SLOT.split(text)))
    return _Template(service.name, pieces)


def _attributes(line: Line) -> str:
    parts = []
    for pair in line.attributes.split(" ") if line.attributes else ():
        name, _, value = pair.partition("=")
        parts.append(f"{_json(name)}:{value[1:] if value.startswith('#') else _json(value)}")
    if line.stack:
        parts.append(f'"exception.stacktrace":{_json(line.stack)}')
    return "{" + ",".join(parts) + "}"


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
