"""The documentation leads nowhere that is not there."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]


def anchor(heading: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_somewhere(page: Path) -> None:
    """Each link within the repository names a file that is there, and a heading that is in it."""
    for target, fragment in re.findall(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)", page.read_text()):
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), f"{page.name}: {target}"
        if fragment and file.suffix == ".md":
            headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            assert fragment in map(anchor, headings), f"{page.name}: {target}#{fragment}"


@pytest.mark.parametrize("name", ["decisions", "measurements"])
def test_every_page_of_a_folder_is_listed(name: str) -> None:
    """The index of the folder names each of them."""
    folder = REPOSITORY / "docs" / name
    listed = set(re.findall(r"\]\(([^)/]*)\)", (folder / "README.md").read_text()))

    assert listed == {page.name for page in folder.glob("*.md")} - {"README.md"}


def test_every_test_that_security_names_exists() -> None:
    """What the page says stops somebody is held by a test of that name."""
    named = set(re.findall(r"`(test_\w+)`", (REPOSITORY / "docs" / "security.md").read_text()))
    files = (REPOSITORY / "tests").rglob("test_*.py")

    found = {name for file in files for name in re.findall(r"def (test_\w+)\(", file.read_text())}

    assert named
    assert named - found == set()
