"""The real engine on the repository's own stacks: what a deploy does, and what it refuses."""

from pathlib import Path

from tests.infra.engine import engine


def test_first_deploy(pulumi_cli: Path, tmp_path: Path) -> None:
    """x"""
    with engine(pulumi_cli, tmp_path) as dev:
        try:
            print(dev.preview())
        finally:
            print("\n".join(sorted(set(dev.cloud.problems))))
        print(dev.cloud.unknown)
        print(dev.up())
        print(dev.up())
