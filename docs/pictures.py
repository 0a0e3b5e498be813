"""Make the README's transcripts and pictures again, all of one search in an empty folder.

`make pictures` runs what `make search` runs, and then each command of the README that has its
output below it; serves MLflow's pages and the page of `tune.app`; and photographs both, and the
report, in headless Chromium. It rewrites the blocks of README.md and of the pages beside this one,
and the PNG files. What the search took is in its last line: run it on a machine that does nothing
else.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from playwright.sync_api import Browser, Page, sync_playwright
from sklearn.datasets import load_digits

HERE: Final = Path(__file__).parent
REPOSITORY: Final = HERE.parent
README: Final = REPOSITORY / "README.md"
SEARCH: Final = ("-m", "tune.search", "--num-samples", "20")
"""What `make search` runs."""
_TRIAL: Final = re.compile(r"(trial|confirm) +\d+ (complete|pruned|fail|paused)\b")
"""A line that stands in place of the live table where there is no terminal."""
_NAME: Final = re.compile(r"digits-\d{8}-\d{6}")
_CLICKED: Final = ("assistant.chat_panel.close", "toggle_sidebar", "runnamecellrenderer")
"""Of MLflow's page: what takes room, and what shows the trials of a search."""
_CHARTS: Final = "^(train|val)_|^test_acc|^confirmed_val_acc$"
_PATIENCE: Final = 120.0
"""Seconds that a server may take to start, or a page to be drawn."""


def main() -> None:
    """Search, and renew transcripts and pictures; or renew them of a search that was made so."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="where the search is; by default a new one")
    folder = parser.parse_args().folder
    if folder is not None:
        renew(folder.resolve())
        return
    with tempfile.TemporaryDirectory() as made:
        renew(Path(made))


def renew(folder: Path) -> None:
    """Renew all of a search in this folder, which is made where it is not there."""
    told = folder / "search.txt"
    if not told.exists():
        told.write_text(run(folder, *SEARCH))
    README.write_text(with_search(README.read_text(), told.read_text().strip()))
    draw_seven(folder / "seven.png")
    (name,) = set(_NAME.findall(told.read_text()))
    for path in (README, *sorted(HERE.glob("*.md"))):
        again = with_sessions(_NAME.sub(name, path.read_text()), folder)
        path.write_text(again)
    (report,) = folder.glob("mlruns/searches/*/report.html")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        pictures = {
            "report": photograph_report(browser, report),
            "mlflow": photograph_mlflow(browser, folder),
            "app": photograph_app(browser, folder),
        }
    save(pictures, name)


def run(folder: Path, *words: str) -> str:
    """What Python prints in this folder, its complaints included."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=variables(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    print(done.stdout)
    return done.stdout


def variables() -> dict[str, str]:
    """A user's, without a terminal to be live on."""
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "200"}


def with_search(text: str, told: str) -> str:
    """The README with what a search has printed, less the lines of its trials."""
    lines: list[str] = []
    for line in told.splitlines():
        shown = "..." if _TRIAL.match(line) else line
        if shown != "..." or lines[-1] != "...":
            lines.append(shown)
    block = re.compile(r"```\nsearch   digits-.*?```", re.DOTALL)
    assert len(block.findall(text)) == 1
    return block.sub(lambda _: "\n".join(["```", *lines, "```"]), text)


def with_sessions(text: str, folder: Path) -> str:
    """A page with what each command prints that has its output below it."""

    def again(block: re.Match[str]) -> str:
        command, _, output = block[1].partition("\n")
        if not output.strip():
            return block[0]
        words = shlex.split(command)[1:]
        # What would be tried first depends on the searches that there are: in the README, none.
        where = folder / "empty" if "--dry-run" in words else folder
        where.mkdir(exist_ok=True)
        printed = run(where, *words)
        return f"```\n$ {command}\n{printed.rstrip()}\n```"

    return re.sub(r"```\n\$ (python -m tune\..*?)```", again, text, flags=re.DOTALL)


def draw_seven(path: Path) -> None:
    """Write the picture of a seven that the README's commands label."""
    digits = load_digits()
    seven = digits.images[digits.target == 7][0]
    Image.fromarray((seven * 255 / 16).astype(np.uint8)).save(path)


def photograph_report(browser: Browser, report: Path) -> Image.Image:
    """Photograph the first screens of a search's report."""
    view = browser.new_page(viewport={"width": 1240, "height": 1640})
    view.goto(report.as_uri())
    view.wait_for_function(
        "document.querySelectorAll('.plot').length"
        " === document.querySelectorAll('.plot .main-svg:first-child').length"
    )
    return shot(view)


def photograph_mlflow(browser: Browser, folder: Path) -> Image.Image:
    """Photograph the runs of the experiment, as `mlflow ui` shows them."""
    port = free_port()
    words = ("-m", "mlflow", "ui", "--workers", "1", "--port", str(port))
    with serving(folder, f"http://127.0.0.1:{port}", *words) as address:
        view = browser.new_page(viewport={"width": 1600, "height": 1000})
        view.goto(f"{address}/#/experiments/1/runs?compareRunsMode=CHART")
        view.set_default_timeout(_PATIENCE * 1000)
        for button in _CLICKED:
            view.locator(f"button[data-component-id*='{button}']").first.click()
        view.get_by_text("trial-019").first.wait_for()
        view.get_by_placeholder("Search metric charts").fill(_CHARTS)
        view.locator(".main-svg").first.wait_for()
        view.wait_for_timeout(10_000)  # curves are drawn one by one
        return shot(view)


def photograph_app(browser: Browser, folder: Path) -> Image.Image:
    """Photograph the page of `tune.app` with the test images that the model mistakes."""
    port = free_port()
    os.environ["STREAMLIT_SERVER_HEADLESS"] = "true"
    words = ("-m", "tune.app", "--port", str(port))
    with serving(folder, f"http://127.0.0.1:{port}", *words) as address:
        view = browser.new_page(viewport={"width": 1200, "height": 1000})
        view.goto(address)
        view.get_by_text("Its mistakes").click(timeout=_PATIENCE * 1000)
        view.get_by_text("Grad-CAM of its first prediction").wait_for(timeout=_PATIENCE * 1000)
        view.wait_for_timeout(2000)  # the pictures fade in
        view.mouse.move(0, 0)
        return shot(view)


def shot(view: Page) -> Image.Image:
    """A page as it is seen now."""
    return Image.open(BytesIO(view.screenshot()))


def save(pictures: Mapping[str, Image.Image], search: str) -> None:
    """Write the pictures, each with the name of the search that it is of."""
    told = PngInfo()
    told.add_text("search", search)
    for name, picture in pictures.items():
        picture.save(HERE / f"{name}.png", pnginfo=told, optimize=True)


@contextmanager
def serving(folder: Path, address: str, *words: str) -> Iterator[str]:
    """The address of a server that runs in this folder until the block ends."""
    env = {**variables(), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    server = subprocess.Popen([sys.executable, *words], cwd=folder, env=env, start_new_session=True)
    try:
        deadline = time.monotonic() + _PATIENCE
        while True:
            with suppress(OSError), urllib.request.urlopen(address):
                break
            assert server.poll() is None, words
            assert time.monotonic() < deadline, words
            time.sleep(0.5)
        yield address
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, 15)
        server.wait()


def free_port() -> int:
    """A port of loopback that nobody listens at."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


if __name__ == "__main__":
    main()
