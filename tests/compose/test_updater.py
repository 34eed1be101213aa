"""The updater finds the versions where they stand: renovate.json, against the files that it reads."""

import json
import re

from tests.compose.compose_file import COMPOSE_FILE, ROOT
from tests.compose.test_images import IMAGES

CONFIGURATION = json.loads((ROOT / "renovate.json").read_text())


def test_each_pattern_finds_its_version() -> None:
    """A file that is moved, or a line that is reworded, does not leave the updater without it."""
    for manager in CONFIGURATION["customManagers"]:
        [pattern] = manager["managerFilePatterns"]
        path = pattern.strip("/").strip("^$").replace("\\", "")
        for expression in manager["matchStrings"]:
            found = re.search(expression.replace("(?<", "(?P<"), (ROOT / path).read_text())
            assert found, manager["description"]
            assert found["currentValue"]


def test_no_image_of_the_infrastructure_is_forgotten() -> None:
    """Each image with a version in infra/ is one that a pattern finds."""
    found = {
        each
        for manager in CONFIGURATION["customManagers"]
        for path in ROOT.glob("infra/*.py")
        if re.search(manager["managerFilePatterns"][0].strip("/"), str(path.relative_to(ROOT)))
        for expression in manager["matchStrings"]
        for each in re.findall(expression.replace("(?<", "(?P<"), path.read_text())
    }
    text = "".join(path.read_text() for path in ROOT.glob("infra/*.py"))
    images = set(re.findall(r'"([a-z0-9.-]+\.(?:pkg\.dev|gcr\.io)/[^:"\s]+):[^"\s]+"', text))
    assert images == {each[0] for each in found}
    assert len(images) == 3


def test_an_update_stays_on_the_line_that_was_checked() -> None:
    """Where the updater is held to a line of versions, it is the one of compose/images.yaml, and the pin is on it."""
    lines = {known["image"]: known["line"] for known in IMAGES.values()}
    for rule in CONFIGURATION["packageRules"]:
        for name in rule["matchPackageNames"]:
            allowed = rule["allowedVersions"].strip("/")
            assert re.match(allowed, lines[name] + ("" if name == "python" else ".1")), name
            pinned = re.search(rf"{name}:([^}}\s]+)\}}", COMPOSE_FILE.read_text())
            assert pinned is None or re.match(allowed, pinned[1]), name


def test_what_runs_in_a_workflow_is_pinned_to_a_version() -> None:
    """Each action has a full version, which the updater turns into a commit."""
    for workflow in (ROOT / ".github" / "workflows").glob("*.yml"):
        for action in re.findall(r"uses: (\S+)", workflow.read_text()):
            assert re.search(r"@(v\d+\.\d+\.\d+|[0-9a-f]{40})$", action), action
