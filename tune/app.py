"""`python -m tune.app`, or `streamlit run tune/app.py`: a page to try registered models on."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import Annotated

import typer

from tune.base.errors import ConfigError
from tune.cli import Door

app = Door("tune.app")


@app.command()
def main(
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen on.")] = 8501,
) -> int:
    """Serve a page to try registered models on.

    It listens on loopback alone: http://127.0.0.1:8501. Streamlit serves it, whose own options are
    taken from its environment variables, such as `STREAMLIT_SERVER_HEADLESS=true`, which keeps it
    from opening a browser. Ctrl-C ends it.

    Examples:
    `python -m tune.app`

    `python -m tune.app --port 8502`

    Exit code: 0 ended, 1 failed, 2 a mistake in the command.
    """
    missing = [name for name in ("streamlit", "captum") if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"{' and '.join(missing)}: not installed; pip install 'resnet-tune[app]' does it"
        )
    sys.stdout.flush()
    words = ["-m", "streamlit", "run", __file__, f"--server.port={port}"]
    os.execv(sys.executable, [sys.executable, *words])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    if "streamlit" in sys.modules:  # which runs this file as the page's script
        from tune.webapp.page import show_page

        show_page()
    else:
        app()
