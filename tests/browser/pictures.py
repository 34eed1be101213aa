"""The pictures of the documentation, made from a running stack: `python -m tests.browser.pictures docs/pictures`.

A screenshot of the log explorer, and twenty seconds of it: warnings and worse, one event, and the other views.

Needs the stack of `make local-up` with some events, Chromium with its driver, and Pillow.
"""

import io
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from tests.browser.conftest import started

_SIZE = (1200, 750)
# Of one frame. What is typed is shown in two steps; a result stays longer.
_TYPED_MS, _SHOWN_MS = 600, 3100


def main(directory: Path, explorer: str = "http://127.0.0.1:8080/") -> None:
    """Write both files."""
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as profile:
        browser = started(Path(profile), f"--window-size={_SIZE[0]},{_SIZE[1] + 140}", "--hide-scrollbars")
        try:
            frames = list(scene(browser, explorer))
        finally:
            browser.quit()
    frames[0][0].quantize(256).save(directory / "explorer.png", optimize=True)
    pictures, durations = [frame for frame, _ in frames], [duration for _, duration in frames]
    print(f"{len(frames)} frames, {sum(durations) / 1000:.1f} s")
    first, *rest = pictures
    first.save(
        directory / "explorer.webp", save_all=True, append_images=rest, duration=durations, loop=0, quality=55, method=6
    )


def scene(browser: Chrome, explorer: str) -> Iterator[tuple[Image.Image, int]]:
    """Each frame, and for how many milliseconds it is shown."""
    browser.get(explorer)
    wait(browser, ".row")
    yield shot(browser), _SHOWN_MS
    box = browser.find_element(By.ID, "query")
    for word in ("level>=", "warn"):
        box.send_keys(word)
        yield shot(browser, 0.4), _TYPED_MS
    browser.execute_script("document.getElementById('search').requestSubmit()")
    yield shot(browser, 3), _SHOWN_MS
    browser.execute_script("document.activeElement.blur()")
    browser.find_element(By.CSS_SELECTOR, ".row").click()
    yield shot(browser), _SHOWN_MS
    page = browser.find_element(By.TAG_NAME, "body")
    page.send_keys(Keys.ESCAPE)
    for view in "324":
        page.send_keys(view)
        yield shot(browser, 2.5), _SHOWN_MS


def wait(browser: Chrome, selector: str) -> None:
    """Until there is such an element."""
    WebDriverWait(browser, 60).until(lambda page: page.find_elements(By.CSS_SELECTOR, selector))


def shot(browser: Chrome, after_seconds: float = 1.5) -> Image.Image:
    """The page, once it has drawn itself."""
    time.sleep(after_seconds)
    return Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB").resize(_SIZE)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
