"""The machine types that a data node may have. Compute Engine's own figures."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
    """One machine type: its name, virtual CPUs and memory in MiB."""

    name: str
    cpus: int
    memory_mib: int

    @property
    def shape(self) -> str:
        """`e2-standard` of `e2-standard-2`."""
        return self.name.rpartition("-")[0]

    @property
    def family(self) -> str:
        """`e2` of `e2-standard-2`."""
        return self.name.partition("-")[0]


def _sizes(shape: str, gib_per_cpu: int, cpus: tuple[int, ...]) -> list[Machine]:
    return [Machine(f"{shape}-{count}", count, count * gib_per_cpu * 1024) for count in cpus]


MACHINES = {
    machine.name: machine
    for machine in (
        Machine("e2-small", 2, 2048),
        Machine("e2-medium", 2, 4096),
        *_sizes("e2-standard", 4, (2, 4, 8, 16)),
        *_sizes("e2-highmem", 8, (2, 4, 8, 16)),
        *_sizes("n2-standard", 4, (2, 4, 8, 16, 32)),
        *_sizes("n2-highmem", 8, (2, 4, 8, 16, 32)),
    )
}
