"""The system's Chromium for tests of pages; they are skipped where there is none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SCREENSHOTS = ROOT / 'build' / 'screenshots'
NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')


def find_chromium() -> str | None:
    """Path of a Chromium; `SIGMA_CHROMIUM` names another one."""
    return os.environ.get('SIGMA_CHROMIUM') or next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser; skips the test where there is none."""
    playwright = pytest.importorskip('playwright.sync_api', reason='playwright is not installed')
    found = find_chromium()
    if found is None:
        pytest.skip(f'no Chromium here: none of {", ".join(NAMES)} is installed')
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=['--no-sandbox'])  # tests may run as root
        yield browser
        browser.close()


class Tab:
    """A page in the browser that remembers what went wrong in it.

    Args:
        browser: Of `chromium`.
        path: The file to open.
        anchor: What stands behind the path, such as `#cell=...`.
        size: Width and height of the window in pixels.
        options: Of Playwright's `new_context`, such as color_scheme.

    Attributes:
        page: Playwright's page.
        troubles: Messages of errors and warnings in the console, and requests that left the file.
    """

    def __init__(
        self, browser: Browser, path: Path, anchor: str = '', size: tuple[int, int] = (1280, 900), **options
    ) -> None:
        self.address = path.resolve().as_uri()
        self.context = browser.new_context(viewport={'width': size[0], 'height': size[1]}, **options)
        self.page: Page = self.context.new_page()
        self.troubles: list[str] = []
        self.page.on('console', self._console)
        self.page.on('pageerror', lambda error: self.troubles.append(f'error: {error}'))
        self.page.on('request', self._request)
        self.page.goto(self.address + anchor)

    def _console(self, message) -> None:
        if message.type in ('error', 'warning'):
            self.troubles.append(f'{message.type}: {message.text}')

    def _request(self, request) -> None:
        if not request.url.startswith(('data:', 'blob:', self.address)):
            self.troubles.append(f'request: {request.url[:200]}')

    def shoot(self, name: str, whole: bool = False) -> None:
        """Keep a picture in `build/screenshots`, for people to look at."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f'{name}.png', full_page=whole)

    def close(self) -> None:
        """Close it; nothing may have gone wrong."""
        self.context.close()
        assert self.troubles == []
