"""`python -m tune.doctor`: what would stop a search from running here, or from running well."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from tune.base.errors import DONE, FAILED
from tune.base.finding import Finding
from tune.checks.examination import examine
from tune.checks.judged import JudgedConfig
from tune.cli import ConfigOption, Door, OverridesArgument, open_console
from tune.config.loading import load_config
from tune.config.presets import DEFAULT

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}

app = Door("tune.doctor")


@app.command()
def main(
    overrides: OverridesArgument = None,
    config: ConfigOption = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Close the runs that dead searches have left RUNNING.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """Check whether a search would run in this folder, and say how to fix what would stop it.

    Each line is ok, warn (a search runs, but not as well as it could) or fail (it would not
    run). The first says which config is judged: the default, or the one that a search would be
    started with. Nothing is created or changed, except by `--fix`.

    Examples:
    `python -m tune.doctor`

    `python -m tune.doctor --config image_folder data.root=photos`

    `python -m tune.doctor --fix`

    `python -m tune.doctor --json`

    Exit code: 0 nothing fails, 1 something does, 2 a mistake in the command.
    """
    settings = load_config(config, overrides or [])
    words = [str(config or DEFAULT), *(overrides or [])]
    judged = JudgedConfig(" ".join(words) if config or overrides else None, settings)
    findings = []
    for finding in examine(judged, fix=fix):
        findings.append(finding)
        if not as_json:
            _show(finding)
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    return FAILED if any(finding.state == "fail" for finding in findings) else DONE


def _show(finding: Finding) -> None:
    console = open_console(soft_wrap=True)
    console.print(f"{finding.state:5s}", style=_COLOURS[finding.state], end=" ")
    console.print(f"{finding.name:14s} {finding.message}")
    if finding.fix is not None:
        console.print(f"{'':20s} -> {finding.fix}")


if __name__ == "__main__":
    app()
