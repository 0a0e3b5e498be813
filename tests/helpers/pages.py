"""Pages, looked at in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

LAPTOP, PHONE = (1366, 768), (390, 844)
SCREENS = [
    pytest.param(PHONE, "dark", id="phone-dark"),
    *(
        pytest.param(size, scheme, id=name, marks=pytest.mark.slow)
        for size, scheme, name in (
            (PHONE, "light", "phone-light"),
            (LAPTOP, "light", "laptop-light"),
            (LAPTOP, "dark", "laptop-dark"),
        )
    ),
]
"""What a page has to fit: the hardest in every run of the tests, all of them in CI's."""


def opened(
    browser: Browser, path: Path, size: tuple[int, int], scheme: str = "light"
) -> tuple[Page, list[str]]:
    """A report, drawn, and what is wrong with it."""
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    view, wrong = context.new_page(), list[str]()
    view.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    view.on("pageerror", lambda error: wrong.append(str(error)))
    view.on("request", lambda asked: None if local(asked.url) else wrong.append(asked.url))
    view.goto(path.as_uri())
    view.wait_for_function(
        "document.querySelectorAll('.plot').length"
        " === document.querySelectorAll('.plot .main-svg:first-child').length"
    )
    return view, wrong


def local(url: str) -> bool:
    """Whether it takes no network."""
    return url.startswith(("file:", "data:", "blob:"))
