"""A page of 200 trials: how large it is, and how soon it is there.

    python benchmarks/report.py              # about 2 minutes
    python benchmarks/report.py --quick      # 40 trials

Runs a search of short trials on the digits, opens its `report.html` in headless Chromium (on the
PATH) three times, and takes the seconds from the asking to the last figure drawn. Last, one line of
JSON with their median.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright
from searches import REPOSITORY, versions

ALL_DRAWN = (
    "document.querySelectorAll('.plot').length"
    " === document.querySelectorAll('.plot .main-svg:first-child').length"
)


def main() -> None:
    """Run one search, open its page, and print size and seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="40 trials")
    trials = 40 if parser.parse_args().quick else 200
    print(f"{os.cpu_count()} CPUs, {versions()}", flush=True)
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        path = searched(Path(name), trials)
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        seconds = [opened(browser, path) for _ in range(3)]
        browser.close()
        megabytes = path.stat().st_size / 1e6
    print("opened in", ", ".join(f"{each:.2f} s" for each in seconds))
    found = {"trials": trials, "megabytes": round(megabytes, 2)}
    print(json.dumps({**found, "seconds": round(statistics.median(seconds), 2)}))


def searched(folder: Path, trials: int) -> Path:
    """Run a search of heads; gives its page."""
    words = ["-m", "tune.search", "--config", str(REPOSITORY / "configs" / "digits.yaml")]
    words += ["--num-samples", str(trials), "--name", "page", "model.unfreeze_depth=0"]
    variables = {"PYTHONPATH": str(REPOSITORY), "TUNE_CACHE": str(folder / "store")}
    subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, **variables},
        stdout=sys.stderr,
        check=True,
    )
    return folder / "mlruns" / "searches" / "page" / "report.html"


def opened(browser: Browser, path: Path) -> float:
    """Seconds until every figure of a page is drawn."""
    page = browser.new_page()
    start = time.monotonic()
    page.goto(path.as_uri())
    page.wait_for_function(ALL_DRAWN)
    seconds = time.monotonic() - start
    page.close()
    return seconds


if __name__ == "__main__":
    main()
